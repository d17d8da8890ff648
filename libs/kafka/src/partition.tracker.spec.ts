import type { DeadLetter, Delivery, OutgoingMessage, Settlement } from 'nestjs-eventing';
import { beforeEach, describe, expect, it } from 'vitest';
import { decodeNotes, type PositionNotes } from './commit.metadata.js';
import type { Origin } from './kafka.delivery.js';
import type { IncomingRecord } from './kafka.driver.js';
import { HandClock, turn } from './kafka.fixture.js';
import { PartitionTracker } from './partition.tracker.js';
import type { ProducerRecord } from './producer.queue.js';
import type { TrackerHost } from './tracker.host.js';

const SOURCE = { topic: 'orders', partition: 3 };

function record(offset: number): IncomingRecord {
  return { offset, time: 5, key: Buffer.from(`k${offset}`), value: Buffer.from('v'), headers: {} };
}

class Host implements TrackerHost {
  readonly clock = new HandClock();
  notBefore: (offset: number) => number | undefined = () => undefined;
  window = 4;
  commits = true;
  paused = false;
  readonly delivered: Delivery[] = [];
  readonly fullness: boolean[] = [];
  readonly committedFirst: string[] = [];
  moving: Promise<void> = Promise.resolve();
  transactional = false;
  onDeliver: (delivery: Delivery) => void = () => undefined;
  gate: Promise<boolean> = Promise.resolve(true);

  deliver(delivery: Delivery): void {
    this.delivered.push(delivery);
    this.onDeliver(delivery);
  }
  originOf(_source: unknown, { offset, headers }: IncomingRecord): Origin | null | undefined {
    if (offset >= 9_000) return undefined;
    const notBefore = this.notBefore(offset);
    if (notBefore === undefined) return null;
    return { channel: 'other', position: undefined, time: 1, attempt: 2, notBefore, headers };
  }
  changed(): void {
    // the test asks for positions itself
  }
  commitNow(tracker: PartitionTracker): Promise<boolean> {
    const position = tracker.position();
    this.committedFirst.push(position === undefined ? '-' : `${position.offset} ${position.metadata}`);
    if (position !== undefined) tracker.confirm(position);
    return this.gate;
  }
  recordsOf(settlement: Settlement): ProducerRecord[] {
    const outputs = settlement.kind === 'accept' ? (settlement.outputs ?? []) : [];
    const letters = settlement.kind === 'reject' ? [settlement.letter.id] : [];
    return [...outputs.map(({ id }) => id), ...letters].map((key) => ({
      topic: 'out',
      key,
      value: null,
      headers: {},
      time: 0,
    }));
  }
  move(): Promise<void> {
    return this.moving;
  }
  full(_tracker: PartitionTracker, full: boolean): void {
    this.fullness.push(full);
  }
}

describe('a tracked partition', () => {
  let host: Host;
  beforeEach(() => (host = new Host()));

  async function tracked(
    offsets: readonly number[],
    start = offsets[0] ?? 0,
    notes: PositionNotes = { attempt: 1, done: [] },
  ) {
    const tracker = new PartitionTracker(SOURCE, host, { offset: start, notes });
    feed(tracker, offsets);
    await turn();
    return tracker;
  }
  function feed(tracker: PartitionTracker, offsets: readonly number[], nextOffset = (offsets.at(-1) ?? 0) + 1): void {
    tracker.take({ records: offsets.map(record), nextOffset, endOffset: nextOffset });
  }
  const accept = (index: number): void => void host.delivered[index]?.settle({ kind: 'accept' });
  const offsets = (): string[] => host.delivered.map(({ position }) => position);

  it('delivers no more than its window, and the rest as the oldest are accepted', async () => {
    await tracked([10, 11, 12, 13, 14, 15]);
    expect(offsets()).toEqual(['3@10', '3@11', '3@12', '3@13']);
    accept(1);
    accept(2);
    expect(offsets()).toHaveLength(4);
    accept(0);
    expect(offsets()).toEqual(['3@10', '3@11', '3@12', '3@13', '3@14', '3@15']);
    expect(host.delivered[0]).toMatchObject({ channel: 'orders', source: 'orders/3', key: 'k10', time: 5, attempt: 1 });
  });

  it('never lets the position pass one that is not settled, and notes what is done behind it', async () => {
    const tracker = await tracked([10, 11, 12, 13]);
    accept(2);
    accept(3);
    expect(tracker.position()).toEqual({ ...SOURCE, offset: 10, metadata: '1;a=2;d=2.1' });
    accept(0);
    expect(tracker.position()).toMatchObject({ offset: 11 });
    expect(decodeNotes(11, tracker.position()?.metadata ?? '').done).toEqual([{ from: 12, to: 13 }]);
    accept(1);
    expect(tracker.position()).toEqual({ ...SOURCE, offset: 14, metadata: '' });
  });

  it('goes by the order of delivery where the log has gaps', async () => {
    const tracker = await tracked([10, 20, 50]);
    for (const index of [0, 1, 2]) accept(index);
    expect(tracker.position()).toMatchObject({ offset: 51 });
    feed(tracker, [], 77);
    expect(tracker.position()).toMatchObject({ offset: 77 });
  });

  it('passes over what is for others, without waiting for anybody', async () => {
    const tracker = await tracked([9_001, 9_002, 9_003, 9_004, 9_005, 9_006]);
    expect(host.delivered).toEqual([]);
    expect(tracker.position()).toMatchObject({ offset: 9_007 });
  });

  it('does not deliver again what an owner before finished, and keeps it noted until the gap closes', async () => {
    const notes = {
      attempt: 1,
      done: [
        { from: 11, to: 12 },
        { from: 30, to: 40 },
      ],
    };
    const tracker = await tracked([10, 11, 12, 13], 10, notes);
    expect(offsets()).toEqual(['3@10', '3@13']);
    expect(host.committedFirst).toEqual(['10 1;a=2;d=1.1,i.a']);
    accept(0);
    accept(1);
    feed(tracker, [35, 41]);
    expect(offsets()).toEqual(['3@10', '3@13', '3@41']);
    expect(tracker.position()).toMatchObject({ offset: 41 });
  });

  describe('of a transactional subscription', () => {
    beforeEach(() => {
      host.transactional = true;
      host.window = 100;
    });
    const acceptWith = (index: number, ...ids: string[]): void =>
      void host.delivered[index]?.settle({ kind: 'accept', outputs: ids.map((id) => ({ id }) as OutgoingMessage) });
    const outputs = (tracker: PartitionTracker): unknown[] => tracker.takeOutputs().map(({ key }) => key);

    it('gives out the outputs of what is settled without a gap, in the order of the log', async () => {
      const tracker = await tracked([10, 11, 12, 13]);
      acceptWith(1, 'b1', 'b2');
      acceptWith(2, 'c');
      expect(outputs(tracker)).toEqual([]);
      // Behind the gap nothing is noted as done whose outputs are not committed.
      expect(host.committedFirst).toEqual(['10 1;a=2']);
      expect(tracker.position()).toBeUndefined();
      acceptWith(0, 'a');
      expect(outputs(tracker)).toEqual(['a', 'b1', 'b2', 'c']);
      expect(tracker.position()).toMatchObject({ offset: 13 });
      expect(outputs(tracker)).toEqual([]);
    });

    it('notes as done behind a gap what has no outputs', async () => {
      const tracker = await tracked([10, 11, 12, 13]);
      accept(1);
      acceptWith(2, 'c');
      accept(3);
      expect(tracker.position()).toMatchObject({ offset: 10, metadata: '1;a=2;d=1,2' });
    });

    it('keeps a letter for the transaction, in its place, and is done with the message at once', async () => {
      const tracker = await tracked([10, 11]);
      await host.delivered[1]?.settle({ kind: 'reject', letter: { id: 'letter' } as DeadLetter });
      expect(outputs(tracker)).toEqual([]);
      acceptWith(0, 'a');
      expect(outputs(tracker)).toEqual(['a', 'letter']);
      expect(tracker.position()).toMatchObject({ offset: 12, metadata: '' });
    });

    it('delivers nothing more while too many outputs are not committed', async () => {
      const tracker = await tracked([10, 11]);
      acceptWith(0, ...Array.from({ length: 10_000 }, (_, index) => `${index}`));
      feed(tracker, [12]);
      expect(offsets()).toEqual(['3@10', '3@11']);
      const taken = tracker.takeOutputs();
      tracker.committed(tracker.position() as NonNullable<ReturnType<typeof tracker.position>>, taken);
      expect(offsets()).toEqual(['3@10', '3@11', '3@12']);
      expect(tracker.outputCount).toBe(0);
    });
  });

  it('puts on record that it begins before it does', async () => {
    let open: (written: boolean) => void = () => undefined;
    host.gate = new Promise((resolve) => (open = resolve));
    await tracked([10, 11]);
    expect(host.committedFirst).toEqual(['10 1;a=2']);
    expect(host.delivered).toEqual([]);
    open(true);
    await turn();
    expect(offsets()).toEqual(['3@10', '3@11']);
  });

  it('finds the record at fault when the position lies in a gap before it', async () => {
    await tracked([12], 10);
    expect(host.committedFirst).toEqual(['12 1;a=2']);
  });

  it('counts a crash at the record where it happened, and tries suspects one at a time', async () => {
    await tracked([10, 11, 12], 10, { attempt: 2, done: [] });
    expect(host.committedFirst).toEqual(['10 1;a=3']);
    expect(host.delivered.map(({ attempt }) => attempt)).toEqual([2, 1, 1]);

    host = new Host();
    await tracked([10, 11, 12], 10, { attempt: 3, done: [] });
    expect(host.delivered.map(({ attempt }) => attempt)).toEqual([3]);
    accept(0);
    await turn();
    expect(host.committedFirst).toEqual(['10 1;a=4', '11 1;a=2']);
    expect(offsets()).toEqual(['3@10', '3@11']);
  });

  it('becomes quick again when the suspects are through', async () => {
    await tracked([10, 11, 12, 13, 14, 15, 16, 17], 10, { attempt: 3, done: [] });
    for (let index = 0; index < 4; index++) {
      expect(host.delivered).toHaveLength(index + 1);
      accept(index);
      await turn();
    }
    expect(host.delivered).toHaveLength(8);
  });

  it('takes a release in good order for no crash', async () => {
    const tracker = await tracked([10, 11]);
    tracker.letGo();
    expect(tracker.position()).toMatchObject({ offset: 10, metadata: '' });
  });

  it('gives back what was released before anything new', async () => {
    const tracker = await tracked([10, 11]);
    void host.delivered[0]?.settle({ kind: 'release' });
    expect(offsets()).toHaveLength(2);
    feed(tracker, [12]);
    await turn();
    expect(host.delivered.slice(2).map(({ position, attempt }) => `${position} ${attempt}`)).toEqual([
      '3@10 1',
      '3@12 1',
    ]);
    accept(0);
    accept(2);
    expect(tracker.position()).toMatchObject({ offset: 11 });
  });

  it('counts only the first settlement', async () => {
    const tracker = await tracked([10, 11]);
    accept(0);
    void host.delivered[0]?.settle({ kind: 'release' });
    await turn();
    expect(offsets()).toHaveLength(2);
    expect(tracker.position()).toMatchObject({ offset: 11 });
  });

  it('holds a message that could not be moved as unsettled as before', async () => {
    const tracker = await tracked([10]);
    host.moving = Promise.reject(new Error('full'));
    await expect(host.delivered[0]?.settle({ kind: 'defer', notBefore: 1, attempt: 2 })).rejects.toThrow('full');
    expect(tracker.position()).toBeUndefined();
    host.moving = Promise.resolve();
    await host.delivered[0]?.settle({ kind: 'defer', notBefore: 1, attempt: 2 });
    expect(tracker.position()).toMatchObject({ offset: 11 });
  });

  it('ignores settlements once it is another’s', async () => {
    const tracker = await tracked([10, 11]);
    tracker.close();
    accept(0);
    await host.delivered[1]?.settle({ kind: 'defer', notBefore: 1, attempt: 1 });
    expect(tracker.isClosed).toBe(true);
    expect(host.delivered).toHaveLength(2);
  });

  it('keeps deferred messages to itself until they are due, and lets others pass', async () => {
    const now = host.clock.now();
    host.window = 2;
    host.notBefore = (offset) => (offset < 13 ? now + (20 - offset) * 1_000 : undefined);
    host.onDeliver = (delivery) => void delivery.settle({ kind: 'accept' });
    const tracker = await tracked([10, 11, 12, 13, 14, 15, 16]);
    expect(offsets()).toEqual(['3@13', '3@14', '3@15', '3@16']);
    // Nobody has it in work: a crash now is not its doing.
    expect(tracker.position()).toMatchObject({ offset: 10, metadata: '1;a=2;d=3.3' });
    await host.clock.advance(7_950);
    expect(host.delivered).toHaveLength(4);
    await host.clock.advance(50);
    expect(offsets().slice(4)).toEqual(['retry-3@12']);
    await host.clock.advance(2_000);
    expect(offsets().slice(4)).toEqual(['retry-3@12', 'retry-3@11', 'retry-3@10']);
    expect(tracker.position()).toMatchObject({ offset: 17, metadata: '' });
  });

  it('holds no more deferred messages than fit into memory', async () => {
    host.notBefore = () => host.clock.now() + 1_000;
    const tracker = await tracked(Array.from({ length: 8_999 }, (_, index) => index));
    feed(
      tracker,
      Array.from({ length: 8_999 }, (_, index) => index),
    );
    expect(host.fullness.at(-1)).toBe(true);
    host.onDeliver = (delivery) => void delivery.settle({ kind: 'accept' });
    await host.clock.advance(1_000);
    expect(host.delivered.length).toBeGreaterThanOrEqual(10_000);
  });

  it('stops reading when its buffer is full and goes on when it is half empty', async () => {
    host.onDeliver = (delivery) => void delivery.settle({ kind: 'accept' });
    host.paused = true;
    const tracker = await tracked(Array.from({ length: 1_500 }, (_, index) => index));
    expect(host.fullness).toEqual([true]);
    host.paused = false;
    tracker.feed();
    await turn();
    expect(host.fullness).toEqual([true, false]);
    expect(host.delivered).toHaveLength(1_500);
  });

  it('stops taking records before the notes outgrow what a broker stores', async () => {
    host.window = 10_000;
    const tracker = await tracked(Array.from({ length: 9_000 }, (_, index) => index));
    host.onDeliver = (delivery) => {
      if (Number(delivery.position.slice(2)) % 2 === 1) void delivery.settle({ kind: 'accept' });
    };
    for (let index = 1; index < host.delivered.length; index += 2) accept(index);
    const more = host.delivered.length;
    feed(
      tracker,
      Array.from({ length: 8_000 }, (_, index) => 10_000 + index * 3),
    );
    await turn();
    expect(host.delivered.length).toBeLessThan(more + 200);
    expect(tracker.position()?.metadata.length).toBeLessThanOrEqual(4_096);
  });
});
