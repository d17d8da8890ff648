import assert from 'node:assert/strict';
import { type ConformanceCase, needs } from '../conformance.case.js';
import type { Call } from '../journal.js';
import { range } from '../sample.event.js';

/** Failing, waiting and being late, by kernel and provider together. */
export const retryCases: readonly ConformanceCase[] = [
  {
    id: 'retry-in-place',
    title: 'an event that failed holds its lane: later events of its key wait, other keys go on, and it is not early',
    needs: [needs.order('process')],
    async run(trial) {
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      const delay = trial.silence * 2;
      const retry = { attempts: 3, delay, factor: 1 };
      await trial.start('one', { listeners: [heard.by('receipts', [placed], { retry }, failing('a', 0, 2))] });
      const sender = await trial.sender([placed]);
      const bodies = range(10).map((n) => ({ key: n % 2 === 0 ? 'a' : 'b', n: Math.floor(n / 2) }));
      await sender.sendAll(placed, bodies);
      await trial.until(
        'all are handled',
        () => heard.count >= 12,
        () => `${heard.count} of 12`,
      );
      const of = (key: string): Call[] => heard.calls.filter(({ body }) => body.key === key);
      assert.deepEqual(
        of('a').map(({ body }) => body.n),
        [0, 0, 0, 1, 2, 3, 4],
      );
      assert.deepEqual(
        of('a')
          .slice(0, 3)
          .map(({ envelope }) => envelope.attempt),
        [1, 2, 3],
      );
      assertSpaced(of('a').slice(0, 3), delay);
      const [, second] = of('a');
      assert.ok(second && of('b').every(({ startedAt }) => startedAt < second.startedAt), 'the other key had to wait');
      assert.deepEqual(heard.overlaps, []);
    },
  },
  {
    id: 'stop-and-resume',
    title:
      "under exhausted: 'stop' an event stays at its place: resumed, here or in the next process, the listener goes on with it",
    needs: [needs.order('process'), needs.durable],
    async run(trial) {
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      const broken = new Set([2, 7]);
      const retry = { backoff: [1], exhausted: 'stop' } as const;
      const receipts = heard.by('receipts', [placed], { retry }, ({ body }) => {
        if (broken.has(body.n)) throw new Error('broken');
      });
      const first = await trial.start('one', { listeners: [receipts] });
      const sender = await trial.sender([placed]);
      const send = (from: number, count: number): Promise<void> =>
        sender.sendAll(
          placed,
          range(count).map((n) => ({ key: 'a', n: from + n })),
        );
      const stopped = ({ runtime }: typeof first): boolean => runtime.listeners.list()[0]?.stopped !== undefined;
      await send(1, 5);
      await trial.until('it stops', () => stopped(first));
      await trial.quiet();
      assert.deepEqual(numbers(heard.done), [1], 'handled before it was resumed');
      broken.delete(2);
      first.runtime.listeners.resume('receipts');
      await trial.until('the rest is handled', () => heard.done.length === 5);
      await send(6, 5);
      await trial.until('it stops again', () => stopped(first));
      await trial.stop(first);
      assert.deepEqual(numbers(heard.done), [1, 2, 3, 4, 5, 6], 'handled before the second stop');
      broken.clear();
      const second = await trial.start('two', { listeners: [receipts] });
      await trial.until('the next process handles the rest', () => numbers(heard.done).includes(10));
      const later = heard.done.filter(({ instance }) => instance === second.instance);
      assert.deepEqual(numbers(later).slice(-4), [7, 8, 9, 10], 'handled by the next process');
      assert.deepEqual(await second.letters(), []);
    },
  },
  {
    id: 'retry-moved',
    title: 'an event without a key that failed is moved: others go on, and it comes back unchanged and not early',
    async run(trial) {
      const placed = trial.event();
      const heard = trial.journal();
      const delay = trial.silence * 2;
      const retry = { attempts: 3, delay, factor: 1 };
      // One at a time: were it held and not moved, nothing else could run.
      const options = { retry, ...(trial.abilities.longestDefer >= delay * 2 ? { concurrency: 1 } : {}) };
      const fails = failing('a', 0, 2);
      const listener = heard.by('receipts', [placed], options, async (call) => {
        // Stored before the first failure: its whole delay is theirs.
        if (heard.count === 1)
          await sender.sendAll(
            placed,
            range(10).map((n) => ({ key: 'b', n })),
          );
        fails(call);
      });
      const sender = await trial.sender([placed]);
      await trial.start('one', { listeners: [listener] });
      const first = await sender.send(placed, { key: 'a', n: 0 }, { headers: { session: 's1' } });
      await trial.until(
        'all are handled',
        () => heard.count >= 13,
        () => `${heard.count} of 13`,
      );
      await trial.quiet();
      const tries = heard.calls.filter(({ body }) => body.key === 'a');
      assert.deepEqual(
        tries.map(({ envelope }) => envelope.attempt),
        [1, 2, 3],
      );
      assertSpaced(tries, delay);
      for (const { envelope } of tries) {
        assert.equal(envelope.id, first.id);
        assert.equal(envelope.time, first.time);
        assert.equal(envelope.key, undefined);
        assert.deepEqual(envelope.headers.toJSON(), { session: 's1' });
      }
      const others = heard.calls.filter(({ body }) => body.key === 'b');
      assert.equal(others.length, 10);
      assert.ok(
        others.every(({ startedAt }) => startedAt < (tries[1]?.startedAt ?? 0)),
        'others had to wait for it',
      );
    },
  },
  {
    id: 'not-before',
    title: 'an event sent with notBefore is not early; with a key it holds its lane, without one it is overtaken',
    needs: [needs.order('process')],
    async run(trial) {
      const [placed, paid] = [trial.keyedEvent(), trial.event()];
      const heard = trial.journal();
      await trial.start('one', { listeners: [heard.by('placed', [placed]), heard.by('paid', [paid])] });
      const sender = await trial.sender([placed, paid]);
      const notBefore = Date.now() + trial.silence * 3;
      await sender.send(placed, { key: 'a', n: 0 }, { notBefore });
      await sender.send(paid, { key: 'x', n: 0 }, { notBefore });
      await sender.sendAll(placed, [
        { key: 'a', n: 1 },
        { key: 'b', n: 0 },
      ]);
      await sender.send(paid, { key: 'x', n: 1 });
      await trial.until(
        'all are handled',
        () => heard.count >= 5,
        () => `${heard.count} of 5`,
      );
      await trial.quiet();
      const of = (key: string): Call[] => heard.calls.filter(({ body }) => body.key === key);
      assert.deepEqual(
        of('a').map(({ body }) => body.n),
        [0, 1],
      );
      assert.deepEqual(
        of('x').map(({ body }) => body.n),
        [1, 0],
      );
      for (const call of [of('a')[0], of('x')[1]])
        assert.ok(call && call.startedAt >= notBefore, `${notBefore - (call?.startedAt ?? 0)} ms early`);
      assert.ok((of('b')[0]?.startedAt ?? Infinity) < notBefore, 'the other key had to wait');
      assert.ok(
        heard.calls.every(({ envelope }) => envelope.attempt === 1),
        'waiting is no attempt',
      );
    },
  },
  {
    id: 'expired',
    title: 'an event that expired before its turn becomes a dead letter and no listener is called',
    async run(trial) {
      const placed = trial.event();
      const heard = trial.journal();
      const gate = trial.gate();
      const one = await trial.start('one', {
        listeners: [
          heard.by('receipts', [placed], { concurrency: 1 }, ({ body }) => (body.n === 0 ? gate.pass() : undefined)),
        ],
      });
      const sender = await trial.sender([placed]);
      await sender.send(placed, { key: 'a', n: 0 });
      await trial.until('the first is at work', () => gate.waiting === 1);
      const { expiresAt = 0 } = await sender.send(placed, { key: 'a', n: 1 }, { expiresIn: 10 });
      await sender.send(placed, { key: 'a', n: 2 });
      await trial.until('its time is over', () => Date.now() > expiresAt);
      gate.open();
      await trial.until('it is a dead letter', async () => (await one.letters()).length === 1);
      await trial.until('the last is handled', () => heard.count >= 2);
      await trial.quiet();
      const [letter] = await one.letters();
      assert.equal(letter?.reason, 'expired');
      assert.equal(letter.error.code, 'EVT_EXPIRED');
      assert.equal(letter.attempts, 0);
      assert.deepEqual(
        heard.calls.map(({ body }) => body.n),
        [0, 2],
      );
    },
  },
];

const numbers = (calls: readonly Call[]): number[] => calls.map(({ body }) => body.n);

/** Fails the first so many attempts of one event. */
function failing(key: string, n: number, times: number): (call: Call) => void {
  return ({ body, envelope }) => {
    if (body.key === key && body.n === n && envelope.attempt <= times) throw new Error(`attempt ${envelope.attempt}`);
  };
}

/** By the clock, each began at least `delay` milliseconds after the one before had failed. */
function assertSpaced(calls: readonly Call[], delay: number): void {
  for (const [index, call] of calls.slice(1).entries()) {
    const waited = call.startedAt - (calls[index]?.endedAt ?? Infinity);
    assert.ok(waited >= delay, `attempt ${index + 2} began after ${waited} ms, ${delay} were due`);
  }
}
