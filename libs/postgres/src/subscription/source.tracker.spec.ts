import type { Delivery } from 'nestjs-eventing';
import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../../testing/src/conformance/seeded.random.js';
import type { StoredEvent } from '../log/stored.event.js';
import { type SourceState, SourceTracker, type TrackerHost } from './source.tracker.js';

const SOURCE = { channel: 'orders', partition: 3 };
const NEW: SourceState = { xid: 0, position: 0, done: [], attempt: 1 };

/** Two events a transaction, with positions that do not ascend from one transaction to the next. */
function events(count: number): StoredEvent[] {
  return Array.from({ length: count }, (_, index) => ({
    xid: 700 + (index >> 1),
    position: ((index >> 1) % 2 === 0 ? 1_000 : 1) + index,
    time: 1,
    key: `k${index % 3}`,
    headers: {},
    body: Buffer.from(`${index}`),
  }));
}

class Host implements TrackerHost {
  readonly deliveries: Delivery[] = [];
  readonly commits = true;
  readonly ends = false;
  paused = false;
  commitNows = 0;
  /** What is written down. */
  written: SourceState = NEW;

  constructor(readonly window = 256) {}

  deliver(delivery: Delivery): void {
    this.deliveries.push(delivery);
  }

  changed(): void {}

  commitNow(tracker: SourceTracker): Promise<boolean> {
    this.commitNows++;
    this.write(tracker);
    return Promise.resolve(true);
  }

  move(): Promise<void> {
    return Promise.resolve();
  }

  hungry(): void {}

  write(tracker: SourceTracker): void {
    const state = tracker.changes();
    if (state === undefined) return;
    this.written = state;
    tracker.confirm(state);
  }
}

async function begun(host: Host, all: readonly StoredEvent[], start: SourceState = NEW): Promise<SourceTracker> {
  const tracker = new SourceTracker(SOURCE, 1, host, start);
  const from = all.filter(({ xid, position }) => xid > start.xid || (xid === start.xid && position >= start.position));
  tracker.take(from, false);
  await turn();
  return tracker;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const textsOf = (deliveries: readonly Delivery[]): string[] =>
  deliveries.map(({ body }) => Buffer.from(body).toString());

describe('a source of the log', () => {
  it('delivers in the order of the log, no more than the window', async () => {
    const host = new Host(4);
    const tracker = await begun(host, events(10));
    expect(textsOf(host.deliveries)).toEqual(['0', '1', '2', '3']);
    void host.deliveries[1]?.settle({ kind: 'accept' });
    expect(host.deliveries).toHaveLength(4);
    void host.deliveries[0]?.settle({ kind: 'accept' });
    expect(textsOf(host.deliveries)).toEqual(['0', '1', '2', '3', '4', '5']);
    expect(host.deliveries[2]).toMatchObject({
      position: '3@701.3',
      source: 'orders/3',
      channel: 'orders',
      attempt: 1,
    });
    expect(tracker.position).toEqual(expect.objectContaining({ xid: 701, position: 3 }));
  });

  it('writes down what is settled in any order, so that the next owner gets exactly the rest', async () => {
    for (let seed = 1; seed <= 50; seed++) {
      const random = new SeededRandom(seed);
      const all = events(60);
      const host = new Host(20);
      const tracker = await begun(host, all);
      const settled = new Set<string>();
      for (let step = 0; step < 40; step++) {
        const open = host.deliveries.filter((delivery) => !settled.has(delivery.position));
        const one = open[random.below(Math.max(1, open.length))];
        if (one === undefined) break;
        settled.add(one.position);
        void one.settle({ kind: 'accept' });
      }
      host.write(tracker);
      const next = new Host(1_000);
      await begun(next, all, host.written);
      const rest = all.map((_, index) => index).filter((index) => !settled.has(positionOf(all[index])));
      expect(textsOf(next.deliveries), `seed ${seed}`).toEqual(rest.map(String));
    }
  });

  it('counts an attempt that a death ended, and none that was given back in good order', async () => {
    const all = events(3);
    const dies = new Host();
    await begun(dies, all);
    expect(dies.written).toMatchObject({ xid: 700, position: 1_000, attempt: 2 });
    const second = new Host();
    const tracker = await begun(second, all, dies.written);
    expect(second.deliveries.map(({ attempt }) => attempt)).toEqual([2, 1, 1]);
    tracker.letGo();
    second.write(tracker);
    expect(second.written.attempt).toBe(2);
    const third = new Host();
    await begun(third, all, second.written);
    expect(third.deliveries.map(({ attempt }) => attempt)).toEqual([2, 1, 1]);
  });

  it('blames nobody for a process that died before it had anything', async () => {
    const host = new Host();
    const tracker = await begun(host, []);
    host.write(tracker);
    expect(host.written.attempt).toBe(1);
    expect(host.commitNows).toBe(0);
  });

  it('tries one at a time what may have killed two processes', async () => {
    const host = new Host(2);
    await begun(host, events(8), { xid: 700, position: 1_000, done: [], attempt: 3 });
    for (let index = 0; index < 5; index++) {
      await turn();
      // As many as the window, and the first behind: then all are above suspicion.
      expect(host.deliveries).toHaveLength(index < 2 ? index + 1 : index + 2);
      void host.deliveries[index]?.settle({ kind: 'accept' });
    }
    expect(host.deliveries[0]?.attempt).toBe(3);
    expect(host.deliveries[1]?.attempt).toBe(1);
  });

  it('ignores what is settled after it was closed', async () => {
    const host = new Host();
    const tracker = await begun(host, events(2));
    tracker.close();
    await host.deliveries[0]?.settle({ kind: 'defer', notBefore: 1, attempt: 2 });
    void host.deliveries[1]?.settle({ kind: 'accept' });
    expect(host.deliveries).toHaveLength(2);
  });
});

function positionOf(event: StoredEvent | undefined): string {
  return `3@${event?.xid}.${event?.position}`;
}
