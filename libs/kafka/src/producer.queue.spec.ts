import { beforeEach, describe, expect, it, vi } from 'vitest';
import { DriverError, type BatchOutcome, type DriverProducer, type ProducerBatch } from './kafka.driver.js';
import { HandClock, turn } from './kafka.fixture.js';
import { ProducerQueue, type ProducerRecord } from './producer.queue.js';
import { partitionOf } from './murmur2.js';

const STORED: BatchOutcome = { kind: 'stored' };
const AWAY: BatchOutcome = { kind: 'again', mayBeStored: true, error: new DriverError('ECONNRESET', 'gone') };

/** A broker that notes what it gets, and answers when the test says so. */
class Producer implements DriverProducer {
  readonly sent: ProducerBatch[][] = [];
  readonly abandoned: ProducerBatch[] = [];
  readonly log: string[] = [];
  most = 0;
  private open = 0;
  answer: (batch: ProducerBatch) => BatchOutcome = () => STORED;

  async send(_leader: number, batches: readonly ProducerBatch[]): Promise<readonly BatchOutcome[]> {
    this.sent.push([...batches]);
    this.most = Math.max(this.most, ++this.open);
    await turn();
    const outcomes = batches.map((batch) => this.answer(batch));
    for (const [index, batch] of batches.entries()) {
      if (outcomes[index]?.kind === 'stored') this.log.push(...batch.records.map(({ value }) => String(value)));
    }
    this.open--;
    return outcomes;
  }
  abandon(batch: ProducerBatch): void {
    this.abandoned.push(batch);
  }
}

describe('the producer queue', () => {
  let clock: HandClock;
  let producer: Producer;
  let leaders: number[];
  let queue: ProducerQueue;
  beforeEach(() => {
    clock = new HandClock();
    producer = new Producer();
    leaders = [1, 1, 1];
    queue = new ProducerQueue(
      producer,
      {
        layout: (topic) => Promise.resolve(topic === 'missing' ? undefined : { topic, leaders }),
        missing: () => Promise.reject(new DriverError('INVALID_TOPIC_EXCEPTION', 'no such topic')),
      },
      { batchBytes: 1_000, publishTimeout: 5_000, metadataMaxAge: 1e9, clock },
    );
  });

  const record = (text: string, changes: Partial<ProducerRecord> = {}): ProducerRecord => ({
    topic: 'orders',
    key: 'k',
    value: Buffer.from(text),
    headers: {},
    time: 1,
    ...changes,
  });

  it('keeps call order per key over overlapping calls, one request at a time', async () => {
    const calls = Array.from({ length: 50 }, (_, index) => queue.publish([record(`${index}a`), record(`${index}b`)]));
    expect((await Promise.all(calls)).flat()).toEqual([]);
    expect(producer.log).toEqual(Array.from({ length: 50 }, (_, index) => [`${index}a`, `${index}b`]).flat());
    expect(producer.most).toBe(1);
    expect(producer.sent.length).toBeLessThan(10);
  });

  it('puts no more into a batch than fits, and spreads what has no key', async () => {
    await queue.publish(Array.from({ length: 30 }, () => record('x'.repeat(200))));
    for (const batch of producer.sent.flat()) expect(batch.records.length).toBeLessThanOrEqual(4);
    await queue.publish([record('y', { key: undefined })]);
    await queue.publish([record('z', { key: undefined })]);
    const [first, second] = producer.sent.slice(-2).map(([batch]) => batch?.partition);
    expect(first).not.toBe(second);
  });

  it('sends a batch again as it was when its fate is unknown, before anything later', async () => {
    let failures = 3;
    producer.answer = () => (failures-- > 0 ? AWAY : STORED);
    const first = queue.publish([record('a'), record('b')]);
    await turn();
    const second = queue.publish([record('c')]);
    await clock.advance(4_000);
    expect([await first, await second]).toEqual([[], []]);
    expect(producer.log).toEqual(['a', 'b', 'c']);
    const [batch] = producer.sent[0] ?? [];
    for (const attempt of producer.sent.slice(0, 4)) expect(attempt).toEqual([batch]);
  });

  it('answers when its time is over, and says whether the message may be stored', async () => {
    producer.answer = () => AWAY;
    const sent = queue.publish([record('a')]);
    await clock.advance(1_000);
    const waiting = queue.publish([record('b')]);
    await clock.advance(4_500);
    const [failure] = await sent;
    expect(failure).toMatchObject({
      index: 0,
      indeterminate: true,
      error: { code: 'EVT_PUBLISH_TIMEOUT', indeterminate: true },
    });
    expect(producer.abandoned).toHaveLength(1);
    await clock.advance(1_500);
    expect((await waiting)[0]).toMatchObject({ error: { code: 'EVT_PUBLISH_TIMEOUT' } });
  });

  it('has never sent what it says it has not', async () => {
    leaders = [-1, -1, -1];
    const call = queue.publish([record('a')]);
    await clock.advance(6_000);
    expect(await call).toMatchObject([{ indeterminate: false, error: { code: 'EVT_PUBLISH_TIMEOUT' } }]);
    expect(producer.sent).toEqual([]);
    await queue.close(1_000);
  });

  it('does not store later, with the rest of its batch, what it said was not stored', async ({ onTestFinished }) => {
    // Without jitter no try is under way when the time is over: then nobody could say.
    const jitter = vi.spyOn(Math, 'random').mockReturnValue(0);
    onTestFinished(() => jitter.mockRestore());
    const refused: BatchOutcome = { kind: 'again', mayBeStored: false, error: new DriverError('ECONNREFUSED', 'away') };
    leaders = [-1, -1, -1];
    const early = queue.publish([record('a')]);
    await clock.advance(2_000);
    const late = queue.publish([record('b')]);
    leaders.fill(1);
    producer.answer = () => refused;
    // Both are in one batch that cannot be sent; only the first is over its time.
    await clock.advance(3_200);
    expect(await early).toMatchObject([{ indeterminate: false }]);
    producer.answer = () => STORED;
    await clock.advance(1_500);
    expect(await late).toEqual([]);
    expect(producer.log).toEqual(['b']);
  });

  it('finds the one record that is too large and stores the others in order', async () => {
    producer.answer = ({ records }) =>
      records.some(({ value }) => String(value) === 'huge')
        ? { kind: 'refused', divisible: true, error: new DriverError('MESSAGE_TOO_LARGE', 'too large') }
        : STORED;
    const failures = await queue.publish(['a', 'b', 'c', 'huge', 'd', 'e'].map((text) => record(text)));
    expect(failures).toMatchObject([{ index: 3, indeterminate: false, error: { code: 'EVT_BODY_TOO_LARGE' } }]);
    expect(producer.log).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  it('lets a topic that cannot be had fail alone', async () => {
    const failures = await queue.publish([record('a'), record('b', { topic: 'missing' }), record('c')]);
    expect(failures).toMatchObject([{ index: 1, indeterminate: false }]);
    expect(producer.log).toEqual(['a', 'c']);
    expect(await queue.publish([record('d', { topic: 'missing' })])).toHaveLength(1);
  });

  it('goes on with other partitions while one is in trouble', async () => {
    const other = ['x', 'y', 'z'].find((key) => partitionOf(key, 3) !== partitionOf('k', 3)) as string;
    producer.answer = ({ partition }) => (partition === partitionOf('k', 3) ? AWAY : STORED);
    const stuck = queue.publish([record('stuck')]);
    for (const text of ['1', '2', '3']) expect(await queue.publish([record(text, { key: other })])).toEqual([]);
    expect(producer.log).toEqual(['1', '2', '3']);
    await clock.advance(6_000);
    expect(await stuck).toHaveLength(1);
  });

  it('sends what it took before it closes, and takes nothing more', async () => {
    const call = queue.publish([record('a')]);
    await queue.close(1_000);
    expect(await call).toEqual([]);
    expect(await queue.publish([record('b')])).toMatchObject([{ error: { code: 'EVT_NOT_RUNNING' } }]);
  });
});
