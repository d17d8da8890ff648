import assert from 'node:assert/strict';
import type { Delivery } from 'nestjs-eventing';
import { type ConformanceCase, needs } from '../conformance.case.js';
import { assertExactly } from '../expectations.js';
import { range } from '../sample.event.js';
import { accepting, type MessagePlan, textOf } from '../trial.port.js';

/** How much is handed over, and when. */
export const flowCases: readonly ConformanceCase[] = [
  {
    id: 'window',
    title: 'of a backlog of thousands, never more than the window of each source is delivered and not settled',
    async run(trial) {
      const [window, count] = [10, 3000];
      const channel = trial.channel();
      const port = await trial.port('one', [channel]);
      const open = new Map<string, Delivery[]>();
      const excesses: string[] = [];
      const got = await port.subscribe({ name: 'reader', channels: [channel], window }, (delivery) => {
        const unsettled = open.get(delivery.source) ?? [];
        open.set(delivery.source, unsettled);
        if (unsettled.push(delivery) > window) excesses.push(`${unsettled.length} of ${delivery.source}`);
      });
      const messages = range(count).map((n): MessagePlan => ({
        channel,
        key: `k${n % 40}`,
        body: Buffer.from(`${n}`),
      }));
      for (let at = 0; at < count; at += 500) await port.publish(messages.slice(at, at + 500));
      await trial.until('the windows are filled', () => [...open.values()].some(({ length }) => length >= window));
      await trial.quiet();
      assert.deepEqual(excesses, [], 'more than the window was delivered');
      // Settled in any order, a few at a time.
      await trial.until(
        'all are delivered',
        () => {
          for (const unsettled of open.values()) {
            const done = trial.random.shuffled(unsettled).slice(0, 1 + trial.random.below(window));
            for (const delivery of done) {
              unsettled.splice(unsettled.indexOf(delivery), 1);
              accepting(delivery);
            }
          }
          return got.deliveries.length >= count;
        },
        () => `${got.deliveries.length} of ${count}`,
      );
      assert.deepEqual(excesses, [], 'more than the window was delivered');
      // Read now: bytes must be as they were, however long a listener holds them.
      assertExactly(
        got.texts,
        messages.map(({ body }) => textOf({ body: body as Uint8Array })),
        'the reader',
      );
    },
  },
  {
    id: 'window-gap',
    title: 'what is settled behind a message that is not counts for the window too, so that no log of gaps grows',
    needs: [needs.trait('windowCountsFromGap')],
    async run(trial) {
      const window = 10;
      const channel = trial.channel();
      const port = await trial.port('one', [channel]);
      const got = await port.subscribe({ name: 'reader', channels: [channel], window }, (delivery) => {
        if (textOf(delivery) !== '0') accepting(delivery);
      });
      await port.publish(range(100).map((n) => ({ channel, key: 'a', body: Buffer.from(`${n}`) })));
      await trial.until('the window is filled', () => got.deliveries.length >= window);
      await trial.quiet();
      assert.equal(got.deliveries.length, window, 'deliveries while the first is not settled');
      accepting(got.deliveries[0] as Delivery);
      await trial.until(
        'the rest comes',
        () => got.deliveries.length >= 100,
        () => `${got.deliveries.length}`,
      );
      assert.deepEqual(got.texts, range(100).map(String));
    },
  },
  {
    id: 'lag',
    title: 'lag() tells how much is stored and not settled, delivered or not, and nothing when all is',
    async run(trial) {
      const channel = trial.channel();
      const port = await trial.port('one', [channel]);
      const got = await port.subscribe({ name: 'reader', channels: [channel], window: 2 }, () => undefined);
      assert.equal(await got.handle?.lag(), 0, 'before anything was published');
      await port.publish(range(20).map((n) => ({ channel, key: `k${n % 4}`, body: Buffer.from(`${n}`) })));
      await trial.until('some are delivered', () => got.deliveries.length >= 2);
      await trial.until('all are counted', async () => (await got.handle?.lag()) === 20);
      let settled = 0;
      await trial.until(
        'it goes down to nothing',
        async () => {
          for (; settled < got.deliveries.length; settled++) {
            const delivery = got.deliveries[settled];
            if (delivery !== undefined) accepting(delivery);
          }
          return got.deliveries.length >= 20 && (await got.handle?.lag()) === 0;
        },
        () => `${got.deliveries.length} delivered`,
      );
    },
  },
  {
    id: 'pause',
    title: 'a paused handle delivers nothing, from the call on, and everything after resume()',
    async run(trial) {
      const channel = trial.channel();
      const port = await trial.port('one', [channel]);
      const got = await port.subscribe({ name: 'reader', channels: [channel] }, (delivery) => {
        accepting(delivery);
        if (got.deliveries.length === 5) got.handle?.pause();
      });
      await port.publish(range(40).map((n) => ({ channel, key: `k${n % 4}`, body: Buffer.from(`${n}`) })));
      await trial.until('five arrive', () => got.deliveries.length >= 5);
      await trial.quiet();
      await port.publish(range(20).map((n) => ({ channel, key: `k${n % 4}`, body: Buffer.from(`${40 + n}`) })));
      await trial.quiet();
      assert.equal(got.deliveries.length, 5, 'deliveries while it is paused');
      got.handle?.resume();
      await trial.until(
        'the rest arrives',
        () => got.deliveries.length >= 60,
        () => `${got.deliveries.length} of 60`,
      );
      await trial.quiet();
      assertExactly(got.texts, range(60).map(String), 'the reader');
    },
  },
  {
    id: 'release',
    title: 'a released message comes back before later ones of its key, with the same bytes',
    needs: [needs.order('process')],
    async run(trial) {
      const channel = trial.channel();
      const port = await trial.port('one', [channel]);
      const releases: Promise<void>[] = [];
      const got = await port.subscribe({ name: 'reader', channels: [channel], window: 1 }, (delivery) => {
        const again = got.deliveries.filter(({ position }) => position === delivery.position).length > 1;
        if (textOf(delivery) !== '1' || again) return accepting(delivery);
        releases.push(Promise.resolve(delivery.settle({ kind: 'release' })));
      });
      await port.publish(
        range(4).map((n) => ({ channel, key: 'a', headers: { n: `${n}` }, body: Buffer.from(`${n}`) })),
      );
      await trial.until(
        'all are accepted',
        () => got.texts.includes('3'),
        () => got.texts.join(', '),
      );
      await Promise.all(releases);
      assert.deepEqual(got.texts, ['0', '1', '1', '2', '3']);
    },
  },
  {
    id: 'settle-once',
    title: 'the first settlement counts: what is accepted does not come back by a later release',
    async run(trial) {
      const channel = trial.channel();
      const port = await trial.port('one', [channel]);
      const got = await port.subscribe({ name: 'reader', channels: [channel] }, (delivery) => {
        accepting(delivery);
        void delivery.settle({ kind: 'release' });
        accepting(delivery);
      });
      await port.publish(range(20).map((n) => ({ channel, key: `k${n % 3}`, body: Buffer.from(`${n}`) })));
      await trial.until(
        'all arrive',
        () => got.deliveries.length >= 20,
        () => `${got.deliveries.length}`,
      );
      await trial.quiet();
      assertExactly(got.texts, range(20).map(String), 'the reader');
    },
  },
];
