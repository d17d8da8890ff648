import assert from 'node:assert/strict';
import { type EnvelopePipeline, EventingError } from 'nestjs-eventing';
import { type ConformanceCase, needs } from '../conformance.case.js';
import { assertExactly, assertKeyOrder, idsOf } from '../expectations.js';
import { range, sampleId } from '../sample.event.js';
import { accepting } from '../trial.port.js';

/** The way into the broker. */
export const publishCases: readonly ConformanceCase[] = [
  {
    id: 'call-order',
    title: 'sends of one key are stored in call order although pipelines hold some of them up',
    needs: [needs.order('process')],
    async run(trial) {
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      await trial.start('one', { listeners: [heard.by('receipts', [placed])] });
      const delaying: EnvelopePipeline = {
        send: async (_envelope, _event, next) => {
          if (trial.random.next() < 0.5) await trial.pause(trial.random.below(30));
          await next();
        },
      };
      const sender = await trial.sender([placed], 'sender', [delaying]);
      const bodies = range(100).map((n) => ({ key: `k${n % 4}`, n }));
      await sender.sendAll(placed, bodies);
      await trial.until(
        'all are handled',
        () => heard.count >= 100,
        () => `${heard.count} of 100`,
      );
      assertExactly(idsOf(heard.calls), bodies.map(sampleId), 'the listener');
      assertKeyOrder(heard.calls);
    },
  },
  {
    id: 'overlapping-publishes',
    title: 'publish() calls that overlap store the messages of a key in call order, first of a batch first',
    needs: [needs.order('process')],
    async run(trial) {
      const channel = trial.channel();
      const port = await trial.port('one', [channel]);
      const got = await port.subscribe({ name: 'reader', channels: [channel], window: 1000 }, accepting);
      const expected: string[] = [];
      const calls: Promise<unknown>[] = [];
      for (let call = 0; call < 60; call++) {
        const batch = range(1 + trial.random.below(4)).map((index) => `${call}.${index}`);
        expected.push(...batch);
        calls.push(port.publish(batch.map((text) => ({ channel, key: 'a', body: Buffer.from(text) }))));
      }
      await Promise.all(calls);
      await trial.until(
        'all arrive',
        () => got.deliveries.length >= expected.length,
        () => `${got.deliveries.length}`,
      );
      assert.deepEqual(got.texts, expected);
    },
  },
  {
    id: 'channel-unknown-at-start',
    title: 'an event is sent to a channel that was not named at the start',
    async run(trial) {
      const [placed, paid] = [trial.event(), trial.event()];
      const heard = trial.journal();
      const sender = await trial.sender([placed]);
      await sender.send(placed, { key: 'a', n: 1 });
      await sender.send(paid, { key: 'a', n: 2 });
      await trial.start('one', { listeners: [heard.by('receipts', [paid])] });
      await sender.send(paid, { key: 'a', n: 3 });
      await trial.until('it arrives', () => heard.count > 0);
      assert.deepEqual(idsOf(heard.calls), ['/a/3']);
    },
  },
  {
    id: 'stop-publishes',
    title: 'stop() publishes what was sent before it',
    async run(trial) {
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      await trial.start('one', { listeners: [heard.by('receipts', [placed])] });
      const sender = await trial.sender([placed]);
      const bodies = range(500).map((n) => ({ key: `k${n % 9}`, n }));
      const sends = sender.sendAll(placed, bodies);
      await Promise.all([sends, trial.stop(sender)]);
      await trial.until(
        'all are handled',
        () => heard.count >= 500,
        () => `${heard.count} of 500`,
      );
      assertExactly(idsOf(heard.calls), bodies.map(sampleId), 'the listener');
    },
  },
  {
    id: 'publish-failure',
    title: 'where the broker refuses some messages of a batch, exactly their sends are rejected, with a code',
    needs: [needs.hook('makePublishFail')],
    async run(trial) {
      const [good, bad] = [trial.keyedEvent(), trial.keyedEvent()];
      const heard = trial.journal();
      const sender = await trial.sender([good, bad]);
      await trial.start('one', { listeners: [heard.by('good', [good]), heard.by('bad', [bad])] });
      await trial.cluster.makePublishFail?.(sender.runtime.registry.describe(bad).channel);
      const bodies = range(60).map((n) => ({ key: `k${n % 6}`, n }));
      const isBad = (n: number): boolean => n % 7 === 3;
      // Without a pause: they leave as one batch.
      const outcomes = await Promise.allSettled(bodies.map((body) => sender.send(isBad(body.n) ? bad : good, body)));
      for (const [n, outcome] of outcomes.entries()) {
        assert.equal(outcome.status, isBad(n) ? 'rejected' : 'fulfilled', `the send of ${n}`);
        if (outcome.status === 'fulfilled') continue;
        const error: unknown = outcome.reason;
        assert.ok(error instanceof EventingError, `the error of ${n} is ${String(error)}`);
        assert.match(error.code, /^EVT_(PUBLISH|BODY)/);
      }
      await sender.send(good, { key: 'k1', n: 1000 });
      const expected = [...bodies.filter(({ n }) => !isBad(n)), { key: 'k1', n: 1000 }].map(sampleId);
      await trial.until(
        'the good ones arrive',
        () => heard.count >= expected.length,
        () => `${heard.count}`,
      );
      await trial.quiet();
      assertExactly(idsOf(heard.calls), expected, 'the listeners');
    },
  },
];
