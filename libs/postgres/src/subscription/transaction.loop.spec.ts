import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Delivery, type OutgoingMessage, systemClock } from 'nestjs-eventing';
import { message, textOf, until } from '../../../eventing/src/provider/provider.fixture.js';
import type { StoredEvent } from '../log/stored.event.js';
import { NotConnectedError } from '../postgres.errors.js';
import { SettledLedger } from './settled.ledger.js';
import { SourceTracker, type TrackerHost } from './source.tracker.js';
import { type SourceWork, TransactionLoop, type TransactionStore } from './transaction.loop.js';

const LOST = Object.assign(new Error('Connection terminated unexpectedly'), { code: 'ECONNRESET' });
const REFUSED = Object.assign(new Error('violates check constraint'), { code: '23514' });

/** What the database would have, and what becomes of each statement. */
class Store {
  readonly tried: { readonly number: number; readonly sources: string[]; readonly outputs: string[] }[] = [];
  readonly outputs: string[] = [];
  readonly burnt: number[] = [];
  /** The next burnings take place, and answer with these. */
  readonly burnFailures: Error[] = [];
  private last = 0;
  /** Of the statement that is about to be run: what it answers with, and whether it is run all the same. */
  fate: (works: readonly SourceWork[]) => { readonly error: Error; readonly isRun: boolean } | undefined = () =>
    undefined;

  burn: TransactionStore['burn'] = (number) => {
    this.burnt.push(number);
    const isStored = this.last === number;
    if (!isStored) this.last = number + 1;
    const error = this.burnFailures.shift();
    if (error !== undefined) return Promise.reject(error);
    return Promise.resolve(isStored ? [] : undefined);
  };

  run(number: number, works: readonly SourceWork[]): Promise<readonly SourceTracker[]> {
    const outputs = works.flatMap(({ settled }) => settled.outputs.map(textOf));
    this.tried.push({ number, sources: works.map(({ tracker }) => tracker.name), outputs });
    const fate = this.fate(works);
    if (fate?.isRun !== false && number > this.last) {
      this.last = number;
      this.outputs.push(...outputs);
    }
    return fate === undefined ? Promise.resolve([]) : Promise.reject(fate.error);
  }
}

describe('the transactions of a subscription', () => {
  let store: Store;
  let loop: TransactionLoop;
  let trackers: SourceTracker[];
  let deliveries: Delivery[];
  let told: string[];

  beforeEach(() => {
    store = new Store();
    trackers = [];
    deliveries = [];
    told = [];
    loop = new TransactionLoop({
      interval: 5,
      most: { messages: 10, bytes: 1_000_000 },
      clock: systemClock,
      trackers: () => trackers,
      deferredOf: () => undefined,
      store: { store: (number, works) => store.run(number, works), burn: (number, works) => store.burn(number, works) },
      lost: (lost) => lost.forEach((tracker) => tracker.close()),
      failed: (error) => void told.push(`failed ${(error as Error).message}`),
      refused: ({ name }, error) => void told.push(`refused ${name} ${(error as Error).message}`),
    });
  });
  afterEach(() => loop.stop());

  const host: TrackerHost = {
    window: 1_000,
    commits: true,
    ends: false,
    paused: false,
    deliver: (delivery) => void deliveries.push(delivery),
    changed: () => loop.changed(),
    commitNow: (tracker) => loop.commitNow(tracker),
    move: () => Promise.reject(new Error('it goes with the transaction')),
    hungry: () => undefined,
  };

  /** A source with so many events, all delivered. */
  async function source(partition: number, count: number): Promise<SourceTracker> {
    const start = { xid: 0, position: 0, done: [], attempt: 1 };
    const tracker = new SourceTracker({ channel: 'orders', partition }, 1, host, start, new SettledLedger());
    trackers.push(tracker);
    const before = deliveries.length;
    const events = Array.from({ length: count }, (_, index): StoredEvent => ({
      xid: 700,
      position: index,
      time: 1,
      key: 'k',
      headers: {},
      body: Buffer.from(`${partition}.${index}`),
    }));
    tracker.take(events, false);
    await until('they are delivered', () => deliveries.length === before + count);
    return tracker;
  }

  const output = (delivery: Delivery): OutgoingMessage => message('out', { text: textOf(delivery) });
  const accept = (delivery: Delivery): void => void delivery.settle({ kind: 'accept', outputs: [output(delivery)] });

  it('have outputs and the position behind them together, of all that is settled', async () => {
    const tracker = await source(0, 3);
    [deliveries[2], deliveries[0]].forEach((delivery) => accept(delivery as Delivery));
    await until('they are stored', () => store.outputs.length === 2);
    // In the order of the accepts.
    expect(store.outputs).toEqual(['0.2', '0.0']);
    await loop.flush([tracker], [], 1_000);
    expect(tracker.changes()).toBeUndefined();
    expect(tracker.state()).toMatchObject({ xid: 700, position: 1, done: [2] });
    expect(tracker.ledger?.size).toBe(0);
  });

  it('are sent again as they were, under their number, while it is not known whether they were stored', async () => {
    for (const isRun of [true, false]) {
      const tracker = await source(isRun ? 0 : 1, 3);
      const [first, ...others] = deliveries.slice(-3);
      let failures = 2;
      store.fate = (works) =>
        works.some(({ settled }) => settled.outputs.length > 0) && failures-- > 0 ? { error: LOST, isRun } : undefined;
      accept(first as Delivery);
      await until('its answer is lost', () => failures < 2);
      others.forEach(accept);
      await until('it works again', () => failures < 0);
      await loop.flush([tracker], [], 2_000);
      const tries = store.tried.filter(({ outputs }) => outputs[0] === textOf(first as Delivery));
      expect(tries).toHaveLength(3);
      expect(new Set(tries.map(({ number }) => number)).size).toBe(1);
      expect(tries.every(({ outputs }) => outputs.length === 1)).toBe(true);
    }
    expect(store.outputs).toEqual(['0.0', '0.1', '0.2', '1.0', '1.1', '1.2']);
    expect(told).toEqual([`failed ${LOST.message}`, `failed ${LOST.message}`]);
  });

  it.each([true, false])(
    'that are refused when sent again lose their number, whatever became of them before (stored: %s)',
    async (isRun) => {
      const [bad, good] = [await source(0, 3), await source(1, 3)];
      const isOfBad = (works: readonly SourceWork[]): boolean =>
        works.some(({ tracker, settled }) => tracker === bad && settled.outputs.length > 0);
      let sends = 0;
      store.fate = (works) => {
        if (!isOfBad(works)) return undefined;
        return ++sends === 1 ? { error: LOST, isRun } : { error: REFUSED, isRun: false };
      };
      // Nobody knows whether that took place either.
      store.burnFailures.push(LOST);
      [deliveries[0], deliveries[3]].forEach((delivery) => accept(delivery as Delivery));
      await until('its answer is lost', () => sends > 0);
      [deliveries[1], deliveries[4]].forEach((delivery) => accept(delivery as Delivery));
      await loop.flush([good], [], 2_000).catch(() => undefined);
      await until('the other source goes on', () => store.outputs.includes('1.1'));
      await until('it is told', () => told.includes(`refused orders/0 ${REFUSED.message}`));
      expect(store.outputs).toEqual(isRun ? ['0.0', '1.0', '1.1'] : ['1.0', '1.1']);
      store.fate = () => undefined;
      await loop.flush([bad, good], [], 2_000);
      expect(store.outputs.toSorted()).toEqual(['0.0', '0.1', '1.0', '1.1']);
      expect(new Set(store.burnt).size).toBe(1);
      expect(store.tried.map(({ number }) => number)).not.toContain((store.burnt[0] ?? 0) + 1);
    },
  );

  it('are told of again where the reason is another', async () => {
    const tracker = await source(0, 1);
    const full = Object.assign(new Error('no space left'), { code: '53100' });
    const other = Object.assign(new Error('violates another constraint'), { code: '23514' });
    const errors = [new NotConnectedError(LOST), full, LOST, REFUSED, REFUSED, other, REFUSED];
    store.fate = ([work]) => {
      const error = (work?.settled.outputs.length ?? 0) > 0 ? errors.shift() : undefined;
      return error && { error, isRun: false };
    };
    accept(deliveries[0] as Delivery);
    await loop.flush([tracker], [], 10_000);
    expect(told).toEqual([
      `failed ${LOST.message}`,
      `failed ${full.message}`,
      `failed ${REFUSED.message}`,
      `refused orders/0 ${REFUSED.message}`,
      `refused orders/0 ${other.message}`,
    ]);
  });

  it('let a source stand still whose outputs are refused, while the others go on', async () => {
    const [bad, good] = [await source(0, 4), await source(1, 4)];
    store.fate = (works) =>
      works.some(({ tracker, settled }) => tracker === bad && settled.outputs.length > 0)
        ? { error: REFUSED, isRun: false }
        : undefined;
    deliveries.slice(0, 8).forEach(accept);
    await until('the others are stored', () => store.outputs.length === 4);
    expect(store.outputs).toEqual(['1.0', '1.1', '1.2', '1.3']);
    await loop.flush([good], [], 1_000);
    await until('it is told', () => told.length > 0);
    await expect(loop.flush([bad], [], 100)).rejects.toBe(REFUSED);
    expect(told).toEqual([`refused orders/0 ${REFUSED.message}`]);
    store.fate = () => undefined;
    await loop.flush([bad], [], 2_000);
    expect(store.outputs.slice(4)).toEqual(['0.0', '0.1', '0.2', '0.3']);
  });

  it('hold as much as one may hold, and each source has its turn', async () => {
    const all = [await source(0, 8), await source(1, 8), await source(2, 8)];
    const before = store.tried.length;
    deliveries.forEach(accept);
    await loop.flush(all, [], 2_000);
    const sizes = store.tried.slice(before).map(({ outputs }) => outputs.length);
    expect(Math.max(...sizes)).toBe(8);
    expect(store.outputs).toHaveLength(24);
    expect(new Set(store.tried.slice(before, before + 3).flatMap(({ sources }) => sources)).size).toBe(3);
  });

  it('have a letter and a deferral with the position, and nothing of a source that was closed', async () => {
    const [one, two] = [await source(0, 2), await source(1, 1)];
    const works: SourceWork[] = [];
    store.fate = (given) => {
      works.push(...given);
      return undefined;
    };
    void deliveries[0]?.settle({ kind: 'defer', notBefore: 5, attempt: 2 });
    two.close();
    accept(deliveries[2] as Delivery);
    await loop.flush([one, two], [], 1_000);
    expect(works.flatMap(({ settled }) => settled.deferrals)).toMatchObject([
      { notBefore: 5, message: { origin: '0@700.0', attempt: 2 } },
    ]);
    expect(store.outputs).toEqual([]);
  });

  it('are not held for stored where there was no connection to send them on', async () => {
    const tracker = await source(0, 1);
    let failures = 1;
    store.fate = () => (failures-- > 0 ? { error: new NotConnectedError(LOST), isRun: false } : undefined);
    accept(deliveries[0] as Delivery);
    await loop.flush([tracker], [], 2_000);
    expect(store.outputs).toEqual(['0.0']);
  });

  it('serve whoever waits for a position, also after all that could not be stored was closed', async () => {
    const tracker = await source(0, 1);
    store.fate = () => ({ error: new NotConnectedError(LOST), isRun: false });
    accept(deliveries[0] as Delivery);
    await until('it is tried again', () => store.tried.length > 1);
    tracker.close();
    const start = { xid: 0, position: 0, done: [], attempt: 1 };
    const heir = new SourceTracker({ channel: 'orders', partition: 1 }, 1, host, start, new SettledLedger());
    trackers = [heir];
    await expect(loop.commitNow(heir)).resolves.toBe(true);
    // And the next one, while nothing was stored since.
    await expect(loop.commitNow(heir)).resolves.toBe(true);
  });

  it('wait no more for what is closed when they are stopped', async () => {
    const tracker = await source(0, 1);
    store.fate = () => ({ error: LOST, isRun: false });
    const written = loop.commitNow(tracker);
    accept(deliveries[0] as Delivery);
    await until('it fails', () => told.length > 0);
    loop.stop();
    expect(await written).toBe(false);
  });
});
