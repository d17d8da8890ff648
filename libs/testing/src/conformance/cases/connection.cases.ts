import assert from 'node:assert/strict';
import { EventingError, RejectEvent } from 'nestjs-eventing';
import { type ConformanceCase, needs } from '../conformance.case.js';
import { assertKeyOrder, assertNoneLost, idsOf } from '../expectations.js';
import { range, sampleId } from '../sample.event.js';

const away = [needs.hook('disconnect'), needs.hook('connect')];

/** A broker that goes away and comes back. */
export const connectionCases: readonly ConformanceCase[] = [
  {
    id: 'readiness',
    title: 'that the broker is away is told, to who listens and to who sends, and that it is back',
    needs: away,
    async run(trial) {
      const placed = trial.event();
      const heard = trial.journal();
      const one = await trial.start('one', { listeners: [heard.by('receipts', [placed])] });
      const sender = await trial.sender([placed]);
      const ready = (): boolean[] => [one.runtime.ready, sender.runtime.ready];
      assert.deepEqual(ready(), [true, true], 'after the start');
      for (const round of [1, 2]) {
        await trial.disconnect();
        await trial.until(
          `it is noticed (${round})`,
          () => ready().every((state) => !state),
          () => ready().join(),
        );
        await trial.connect();
        await trial.until(
          `it is ready again (${round})`,
          () => ready().every((state) => state),
          () => ready().join(),
        );
      }
      await sender.send(placed, { key: 'a', n: 1 });
      await trial.until('it works', () => heard.count === 1);
    },
  },
  {
    id: 'reconnect',
    title: 'while the broker is away sends wait; when it is back they arrive in order and deliveries go on',
    needs: [needs.order('process'), ...away],
    async run(trial) {
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      const listener = heard.by('receipts', [placed], { concurrency: 4 }, () => trial.pause(trial.random.below(4)));
      await trial.start('one', { listeners: [listener] });
      const sender = await trial.sender([placed]);
      const bodies = range(400).map((n) => ({ key: `k${n % 10}`, n }));
      await sender.sendAll(placed, bodies.slice(0, 200));
      await trial.until('it is in full run', () => heard.count > 20);
      await trial.disconnect();
      let answered = 0;
      const sends = bodies.slice(200).map((body) => sender.send(placed, body).finally(() => answered++));
      const sent = Promise.all(sends);
      sent.catch(() => undefined);
      await trial.quiet();
      assert.equal(answered, 0, 'sends that had an answer while the broker was away');
      await trial.connect();
      await trial.inTime('every send has its answer', sent);
      await trial.until(
        'all are handled',
        () => heard.distinct() === 400,
        () => `${heard.distinct()} of 400`,
      );
      // What was not settled when the line was cut may come again.
      assertNoneLost(idsOf(heard.calls), bodies.map(sampleId), 'the listener');
      assertKeyOrder(heard.calls);
      assert.deepEqual(heard.overlaps, []);
    },
  },
  {
    id: 'away-at-start',
    title: 'a service whose broker is away starts when it comes, and what it sent meanwhile arrives',
    needs: [needs.durable, ...away],
    async run(trial) {
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      const plan = { listeners: [heard.by('receipts', [placed])] };
      await trial.stop(await trial.start('one', plan));
      await trial.disconnect();
      const two = trial.create('two', plan);
      const sender = trial.create('sender', { service: trial.name('senders'), sends: [placed] });
      let done = 0;
      const work = Promise.all([
        ...[two, sender].map(({ runtime }) => runtime.start().then(() => done++)),
        ...range(20).map((n) => sender.send(placed, { key: `k${n % 3}`, n }).then(() => done++)),
      ]);
      work.catch(() => undefined);
      await Promise.race([work, trial.quiet()]);
      assert.equal(done, 0, 'starts and sends that were done while the broker was away');
      assert.equal(two.runtime.ready, false);
      await trial.connect();
      await trial.inTime('all have their answer', work);
      await trial.until(
        'all are handled',
        () => heard.distinct() === 20,
        () => `${heard.distinct()} of 20`,
      );
      assertKeyOrder(heard.calls);
    },
  },
  {
    id: 'publish-timeout',
    title: 'a send that waited for the broker until publishTimeout is rejected with a code, and does not arrive later',
    needs: away,
    async run(trial) {
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      await trial.start('one', { listeners: [heard.by('receipts', [placed])] });
      const sender = await trial.start('sender', {
        service: trial.name('senders'),
        sends: [placed],
        options: { publishTimeout: Math.max(300, trial.silence) },
      });
      // On a busy machine one send may be too late for so short a time-out.
      const goesThrough = (n: number): Promise<void> =>
        trial.until(`send ${n} goes through`, () => sender.send(placed, { key: 'a', n }).then(() => true));
      await goesThrough(0);
      await trial.disconnect();
      const sends = range(5).map((n) => sender.send(placed, { key: 'a', n: 1 + n }));
      const outcomes: PromiseSettledResult<unknown>[] = [];
      const settled = Promise.allSettled(sends).then((all) => outcomes.push(...all));
      await trial.until('all are rejected', () => outcomes.length === 5);
      await settled;
      await trial.connect();
      await trial.until('it is ready again', () => sender.runtime.ready);
      await goesThrough(6);
      await trial.until('the next arrives', () => heard.calls.some(({ body }) => body.n === 6));
      await trial.quiet();
      for (const [index, outcome] of outcomes.entries()) {
        const error: unknown = outcome.status === 'rejected' ? outcome.reason : undefined;
        assert.ok(
          error instanceof EventingError,
          `send ${index} was not rejected with a coded error: ${String(error)}`,
        );
        assert.match(error.code, /^EVT_(PUBLISH_TIMEOUT|PUBLISH_FAILED|CONNECTION)$/);
        if (error.indeterminate) continue;
        const arrived = heard.calls.some(({ body }) => body.n === 1 + index);
        assert.equal(arrived, false, `${1 + index} arrived, though its rejection was certain`);
      }
    },
  },
  {
    id: 'dead-letter-while-away',
    title: 'what is to become a dead letter while the broker is away does when it is back, and its lane goes on',
    needs: [needs.order('process'), needs.durable, ...away],
    async run(trial) {
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      const gate = trial.gate();
      const listener = heard.by('receipts', [placed], {}, async ({ body }) => {
        if (body.n !== 0) return;
        await gate.pass();
        throw new RejectEvent('never');
      });
      const one = await trial.start('one', { listeners: [listener] });
      const sender = await trial.sender([placed]);
      await sender.send(placed, { key: 'a', n: 0 });
      await sender.send(placed, { key: 'a', n: 1 });
      await trial.until('it is at work', () => gate.waiting === 1);
      await trial.disconnect();
      gate.open();
      await trial.quiet();
      await trial.connect();
      await trial.until('it is a dead letter', async () => (await one.letters()).length > 0);
      await trial.until('its lane goes on', () => heard.calls.some(({ body }) => body.n === 1));
      await trial.quiet();
      const letters = await one.letters();
      assert.deepEqual(
        letters.map(({ reason, error }) => [reason, error.code]),
        [['rejected', 'EVT_REJECTED']],
      );
      assertKeyOrder(heard.calls);
    },
  },
  {
    id: 'stop-while-away',
    title: 'stop() ends while the broker is away, and loses nothing',
    needs: [needs.durable, ...away],
    async run(trial) {
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      const listener = heard.by('receipts', [placed]);
      const one = await trial.start('one', { listeners: [listener], options: { drain: 1000 } });
      const sender = await trial.sender([placed]);
      const bodies = range(30).map((n) => ({ key: `k${n % 4}`, n }));
      await sender.sendAll(placed, bodies.slice(0, 15));
      await trial.until('the first are handled', () => heard.distinct() === 15);
      await trial.disconnect();
      await trial.stop(one);
      await trial.connect();
      await sender.sendAll(placed, bodies.slice(15));
      await trial.start('two', { listeners: [listener] });
      await trial.until(
        'all are handled',
        () => heard.distinct() === 30,
        () => `${heard.distinct()} of 30`,
      );
      assertKeyOrder(heard.calls);
    },
  },
];
