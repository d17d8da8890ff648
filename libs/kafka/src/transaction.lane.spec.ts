import { beforeEach, describe, expect, it } from 'vitest';
import { DriverError, FencedError, type DriverTransactor, type Transaction } from './kafka.driver.js';
import { HandClock, turn } from './kafka.fixture.js';
import { OutputBatches } from './output.batches.js';
import type { PartitionTracker } from './partition.tracker.js';
import type { ProducerRecord } from './producer.queue.js';
import { TransactionLane } from './transaction.lane.js';

const SOURCE = { topic: 'orders', partition: 0 };

function output(key: string | undefined, topic = 'out'): ProducerRecord {
  return { topic, key, value: Buffer.from(`of ${key}`), headers: {}, time: 1.5 };
}

/** As much of a tracker as a lane sees. */
class Settled {
  readonly name = 'orders/0';
  isClosed = false;
  offset = 0;
  private confirmed = 0;
  private outputs: ProducerRecord[] = [];
  outputCount = 0;

  settle(...outputs: ProducerRecord[]): PartitionTracker {
    this.offset++;
    this.outputs.push(...outputs);
    this.outputCount += outputs.length;
    return this as unknown as PartitionTracker;
  }
  takeOutputs(): ProducerRecord[] {
    return this.outputs.splice(0);
  }
  position(): unknown {
    return this.offset === this.confirmed ? undefined : { ...SOURCE, offset: this.offset, metadata: 'notes' };
  }
  committed({ offset }: { offset: number }, outputs: readonly ProducerRecord[]): void {
    this.confirmed = offset;
    this.outputCount -= outputs.length;
  }
}

class Transactor implements DriverTransactor {
  readonly committed: Transaction[] = [];
  fail: (() => Error | undefined) | undefined;
  hold: Promise<void> = Promise.resolve();
  closed = false;
  begin(): Promise<void> {
    return Promise.resolve();
  }
  async commit(transaction: Transaction): Promise<void> {
    await this.hold;
    const error = this.fail?.();
    if (error !== undefined) throw error;
    this.committed.push(transaction);
  }
  close(): void {
    this.closed = true;
  }
}

describe('the transactions of a partition', () => {
  let clock: HandClock;
  let settled: Settled;
  let transactor: Transactor;
  let lane: TransactionLane;
  let told: string[];
  beforeEach(() => {
    clock = new HandClock();
    settled = new Settled();
    transactor = new Transactor();
    told = [];
    const topics = {
      layout: (topic: string) => Promise.resolve({ topic, leaders: [1, 1, 1] }),
      missing: () => Promise.resolve(),
    };
    lane = new TransactionLane(SOURCE, transactor, {
      group: 'shop.Receipt',
      interval: 100,
      threshold: 5,
      clock,
      batches: new OutputBatches(topics, 1_000),
      fenced: () => {
        told.push('fenced');
        lane.close();
      },
      failed: (_source, error) => void told.push(error.message),
      bare: () => void told.push('bare'),
    });
  });
  const values = (at: number): string[] =>
    (transactor.committed[at]?.batches ?? []).flatMap(({ records }) => records.map(({ value }) => String(value)));

  it('commit outputs and position together, at once and then at the interval', async () => {
    lane.changed(settled.settle(output('a')));
    await clock.advance(1);
    expect(transactor.committed).toMatchObject([{ group: 'shop.Receipt', position: { offset: 1, metadata: 'notes' } }]);
    expect(values(0)).toEqual(['of a']);
    lane.changed(settled.settle(output('b')));
    lane.changed(settled.settle(output('c')));
    await clock.advance(90);
    expect(transactor.committed).toHaveLength(1);
    await clock.advance(20);
    expect(values(1).sort()).toEqual(['of b', 'of c']);
    expect(transactor.committed[1]?.position.offset).toBe(3);
    await clock.advance(1_000);
    expect(transactor.committed).toHaveLength(2);
  });

  it('do not wait for the interval when there is much to commit', async () => {
    lane.changed(settled.settle(output('a')));
    await clock.advance(1);
    lane.changed(settled.settle(...['b', 'c', 'd', 'e', 'f'].map((key) => output(key))));
    await turn();
    expect(transactor.committed).toHaveLength(2);
  });

  it('keep what one of them could not commit, first in the next, and tell once', async () => {
    transactor.fail = () => new DriverError('MESSAGE_TOO_LARGE', 'too large');
    lane.changed(settled.settle(output('k')));
    await clock.advance(3_000);
    expect(told).toEqual(['too large']);
    transactor.fail = undefined;
    lane.changed(settled.settle({ ...output('k'), value: Buffer.from('later') }));
    await clock.advance(3_000);
    expect(values(0)).toEqual(['of k', 'later']);
    expect(settled.outputCount).toBe(0);
  });

  it('tell what is refused while it is still tried, once until one goes through', async () => {
    const refusal = new DriverError('NOT_ENOUGH_REPLICAS', 'too few');
    lane.hindered(refusal);
    lane.hindered(refusal);
    transactor.fail = () => refusal;
    lane.changed(settled.settle(output('a')));
    await clock.advance(1_000);
    expect(told).toEqual(['too few']);
    transactor.fail = undefined;
    await clock.advance(3_000);
    expect(transactor.committed).toHaveLength(1);
    lane.hindered(refusal);
    expect(told).toEqual(['too few', 'too few']);
    lane.close();
    lane.hindered(refusal);
    expect(told).toHaveLength(2);
  });

  it('end when another owns the partition', async () => {
    transactor.fail = () => new FencedError('PRODUCER_FENCED', 'fenced');
    const written = lane.commitNow(settled.settle(output('a')));
    await clock.advance(3_000);
    expect(await written).toBe(false);
    expect(told).toEqual(['fenced']);
    expect(transactor.closed).toBe(true);
  });

  it('leave out the notes where the broker keeps none', async () => {
    transactor.fail = () => {
      transactor.fail = undefined;
      return new DriverError('OFFSET_METADATA_TOO_LARGE', 'no');
    };
    lane.changed(settled.settle());
    await clock.advance(300);
    expect(told).toEqual(['bare']);
    expect(transactor.committed).toMatchObject([{ position: { offset: 1, metadata: '' } }]);
  });

  it('are all done after a flush, one that runs included', async () => {
    let go: () => void = () => undefined;
    transactor.hold = new Promise((resolve) => (go = resolve));
    lane.changed(settled.settle(output('a')));
    await clock.advance(1);
    lane.changed(settled.settle(output('b')));
    const flushed = lane.flush();
    go();
    await flushed;
    expect(transactor.committed.map(({ position }) => position.offset)).toEqual([1, 2]);
    await lane.flush();
    expect(transactor.committed).toHaveLength(2);
  });

  it('put a key into one partition in order, in batches that are not too large', async () => {
    const large = (text: string): ProducerRecord => ({ ...output('k'), value: Buffer.from(text.repeat(400)) });
    lane.changed(settled.settle(large('1'), large('2'), output('other'), large('3')));
    await clock.advance(1);
    const { batches = [] } = transactor.committed[0] ?? {};
    const ofKey = batches.filter(({ records }) => records.some(({ key }) => key === 'k'));
    expect(new Set(ofKey.map(({ partition }) => partition)).size).toBe(1);
    const texts = ofKey.flatMap(({ records }) => records).filter(({ key }) => key === 'k');
    expect(texts.map(({ value }) => String(value).slice(0, 1))).toEqual(['1', '2', '3']);
    expect(ofKey.length).toBeGreaterThan(1);
    expect(texts[0]?.time).toBe(1);
  });
});
