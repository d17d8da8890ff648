import assert from 'node:assert/strict';
import { type ConformanceCase, needs } from '../conformance.case.js';
import { assertExactly, assertNoneLost, idsOf } from '../expectations.js';
import { range, sampleId } from '../sample.event.js';

/** What outlives the process that listens. */
export const durabilityCases: readonly ConformanceCase[] = [
  {
    id: 'durable',
    title: 'a durable subscription goes on where it stood: what was sent while its listener was away arrives, once',
    needs: [needs.durable],
    async run(trial) {
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      const plan = { listeners: [heard.by('receipts', [placed])] };
      const sender = await trial.sender([placed]);
      const bodies = range(90).map((n) => ({ key: `k${n % 5}`, n }));
      const one = await trial.start('one', plan);
      await sender.sendAll(placed, bodies.slice(0, 30));
      await trial.until('the first are handled', () => heard.count === 30);
      await trial.stop(one);
      await sender.sendAll(placed, bodies.slice(30, 60));
      await trial.start('two', plan);
      await sender.sendAll(placed, bodies.slice(60));
      await trial.until(
        'all are handled',
        () => heard.count >= 90,
        () => `${heard.count} of 90`,
      );
      await trial.quiet();
      assertExactly(idsOf(heard.calls), bodies.map(sampleId), 'the listener');
    },
  },
  {
    id: 'first-subscription-kept',
    title: 'the first subscription fixes the position, even if nothing came before its process ended',
    needs: [needs.durable],
    async run(trial) {
      const placed = trial.event();
      const heard = trial.journal();
      const plan = { listeners: [heard.by('receipts', [placed])] };
      const sender = await trial.sender([placed]);
      await sender.send(placed, { key: 'a', n: 1 });
      await trial.stop(await trial.start('one', plan));
      await sender.send(placed, { key: 'a', n: 2 });
      await trial.start('two', plan);
      await sender.send(placed, { key: 'a', n: 3 });
      await trial.until(
        'the later two arrive',
        () => heard.distinct() >= 2,
        () => idsOf(heard.calls).join(', '),
      );
      await trial.quiet();
      assertExactly(idsOf(heard.calls), ['/a/2', '/a/3'], 'the listener');
    },
  },
  {
    id: 'first-subscription-race',
    title: 'where instances start at one time, what is sent once any of them has started reaches them',
    needs: [needs.groups],
    async run(trial) {
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      const sender = await trial.sender([placed]);
      const plan = { listeners: [heard.by('receipts', [placed])] };
      const starts = ['one', 'two', 'three'].map((instance) => trial.create(instance, plan).runtime.start());
      await trial.inTime('one has started', Promise.race(starts));
      const bodies = range(200).map((n) => ({ key: `k${n % 40}`, n }));
      for (let at = 0; at < bodies.length; at += 20) await sender.sendAll(placed, bodies.slice(at, at + 20));
      await trial.inTime('all have started', Promise.all(starts));
      await trial.until(
        'all are handled',
        () => heard.distinct() === 200,
        () => `${heard.distinct()} of 200`,
      );
      await trial.quiet();
      assertNoneLost(idsOf(heard.calls), bodies.map(sampleId), 'all instances');
      if (trial.environment.traits?.repeatsOnMove === false)
        assertExactly(idsOf(heard.calls), bodies.map(sampleId), 'all instances');
    },
  },
  {
    id: 'not-durable',
    title: 'a subscription that is not durable ends with its last process: what is sent meanwhile does not arrive',
    async run(trial) {
      const placed = trial.event();
      const heard = trial.journal();
      const plan = { listeners: [heard.by('receipts', [placed], { durable: false })] };
      const sender = await trial.sender([placed]);
      const one = await trial.start('one', plan);
      await sender.send(placed, { key: 'a', n: 1 });
      await trial.until('the first arrives', () => heard.count === 1);
      await trial.stop(one);
      await sender.sendAll(
        placed,
        range(10).map((n) => ({ key: 'a', n: 10 + n })),
      );
      await trial.start('two', plan);
      await sender.send(placed, { key: 'a', n: 2 });
      await trial.until('the last arrives', () => heard.calls.some(({ body }) => body.n === 2));
      await trial.quiet();
      assertExactly(idsOf(heard.calls), ['/a/1', '/a/2'], 'the listener');
    },
  },
  {
    id: 'drain',
    title: 'stop() waits for listeners at work and hands the rest to the next instance: nothing is lost or repeated',
    needs: [needs.durable],
    async run(trial) {
      const [placed, paid] = [trial.keyedEvent(), trial.event()];
      const [heard, booked] = [trial.journal(), trial.journal()];
      const gate = trial.gate();
      const listener = heard.by('receipts', [placed], { concurrency: 2 }, async ({ instance, body }) => {
        if (instance !== trial.name('one')) return;
        await gate.pass();
        await one.send(paid, body);
      });
      await trial.start('books', { service: trial.name('books'), listeners: [booked.by('books', [paid])] });
      const one = await trial.start('one', { listeners: [listener], sends: [paid] });
      const sender = await trial.sender([placed]);
      const bodies = range(40).map((n) => ({ key: `k${n % 10}`, n }));
      await sender.sendAll(placed, bodies);
      await trial.until('two are at work', () => gate.waiting === 2);
      let stopped = false;
      const stop = trial.stop(one).then(() => (stopped = true));
      await trial.quiet();
      assert.equal(stopped, false, 'stop() did not wait for the listeners at work');
      gate.open();
      await stop;
      const before = heard.count;
      assert.ok(
        heard.calls.every(({ endedAt }) => endedAt !== undefined),
        'a listener was at work after stop()',
      );
      assert.equal(before, 2, 'listeners were called during the drain');
      await trial.start('two', { listeners: [listener] });
      await trial.until(
        'the rest is handled',
        () => heard.count >= 40,
        () => `${heard.count} of 40`,
      );
      await trial.quiet();
      assertExactly(idsOf(heard.calls), bodies.map(sampleId), 'both instances');
      assertExactly(idsOf(booked.calls), idsOf(heard.calls.slice(0, 2)), 'what listeners sent during the drain');
    },
  },
  {
    id: 'drain-back-off',
    title: 'stop() does not wait for an event that waits for its next attempt: the next instance gets it at once',
    needs: [needs.durable],
    async run(trial) {
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      // With what chance adds, less than the five minutes for which an event may hold its lane.
      const delay = Math.min(trial.patience * 5, 240_000);
      const listener = heard.by('receipts', [placed], { retry: { delay, maxDelay: delay } }, ({ instance, body }) => {
        if (instance === trial.name('one') && body.n === 0) throw new Error('not now');
      });
      const one = await trial.start('one', { listeners: [listener] });
      const sender = await trial.sender([placed]);
      await sender.sendAll(
        placed,
        range(3).map((n) => ({ key: 'a', n })),
      );
      await trial.until('it failed', () => heard.calls.some(({ failed }) => failed));
      await trial.inTime('stop() while it waits', one.runtime.stop());
      await trial.start('two', { listeners: [listener] });
      await trial.until(
        'the next gets it',
        () => heard.done.length >= 3,
        () => idsOf(heard.calls).join(', '),
      );
      await trial.quiet();
      assertExactly(idsOf(heard.done), ['/a/0', '/a/1', '/a/2'], 'the next instance');
    },
  },
];
