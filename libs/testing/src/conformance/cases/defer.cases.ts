import assert from 'node:assert/strict';
import type { Delivery } from 'nestjs-eventing';
import { type ConformanceCase, needs } from '../conformance.case.js';
import { assertSameBytes, headerBytes } from '../expectations.js';
import { range } from '../sample.event.js';
import { accepting, textOf } from '../trial.port.js';

/** A delivery that came back from being deferred, and when. */
interface Return {
  readonly delivery: Delivery;
  readonly at: number;
}

/** Messages that the provider keeps until their time. */
export const deferCases: readonly ConformanceCase[] = [
  {
    id: 'defer',
    title: 'a deferred message comes back unchanged and not early, and all others go on meanwhile',
    needs: [needs.defer],
    async run(trial) {
      const channel = trial.channel();
      const port = await trial.port('one', [channel]);
      const wait = Math.min(trial.silence * 3, trial.abilities.longestDefer);
      let notBefore = 0;
      let safe: Promise<void> | void = undefined;
      let back: Return | undefined;
      const first: Delivery[] = [];
      const others: string[] = [];
      await port.subscribe({ name: 'reader', channels: [channel], ordered: false }, (delivery) => {
        if (textOf(delivery) !== '0') {
          // Once its time has come, an event shows nothing.
          if (notBefore === 0 || Date.now() < notBefore) others.push(textOf(delivery));
          return accepting(delivery);
        }
        if (first.length === 0) {
          first.push(delivery);
          notBefore = Date.now() + wait;
          safe = delivery.settle({ kind: 'defer', notBefore, attempt: 2 });
          return;
        }
        back ??= { delivery, at: Date.now() };
        accepting(delivery);
      });
      const headers = { session: 's1', 'x-bytes': Uint8Array.of(0xff, 0x00) };
      const sent = await port.publish(
        range(10).map((n) => ({ channel, key: `k${n % 2}`, headers, body: Buffer.from(`${n}`) })),
      );
      await trial.until(
        'all others arrive',
        () => others.length === 9,
        () => others.join(', '),
      );
      await safe;
      await port.publish(range(5).map((n) => ({ channel, key: `k${n % 2}`, body: Buffer.from(`later ${n}`) })));
      await trial.until(
        'later ones arrive before its time',
        () => others.length === 14,
        () => others.join(', '),
      );
      await trial.until('it comes back', () => back !== undefined);
      const { delivery, at } = back as unknown as Return;
      assert.ok(
        at >= notBefore || delivery.notBefore === notBefore,
        `it came back ${notBefore - at} ms early, and its notBefore does not say so`,
      );
      assert.equal(delivery.attempt, 2, 'attempt');
      assert.equal(delivery.channel, channel, 'channel');
      assert.equal(delivery.key, 'k0', 'key');
      assert.equal(delivery.time, sent[0]?.time, 'time');
      assert.deepEqual(headerBytes(delivery.headers), headerBytes(headers));
      assertSameBytes(delivery.body, Buffer.from('0'), 'the deferred message');
      await trial.quiet();
    },
  },
  {
    id: 'defer-survives',
    title: 'a deferred message is not bound to the process that deferred it, and reaches no other subscription',
    needs: [needs.defer, needs.durable],
    async run(trial) {
      const channel = trial.channel();
      const one = await trial.port('one', [channel]);
      let notBefore = 0;
      let safe: Promise<void> | void = undefined;
      const tap = await one.subscribe({ name: 'tap', channels: [channel] }, accepting);
      const got = await one.subscribe({ name: 'reader', channels: [channel], ordered: false }, (delivery) => {
        notBefore = Date.now() + Math.min(trial.silence * 3, trial.abilities.longestDefer);
        safe = delivery.settle({ kind: 'defer', notBefore, attempt: 3 });
      });
      await one.publish([{ channel, key: 'a', body: Buffer.from('later') }]);
      await trial.until('it is deferred', () => got.deliveries.length === 1);
      await safe;
      await got.handle?.stop();
      const two = await trial.port('two', [channel]);
      let at = 0;
      const again = await two.subscribe({ name: 'reader', channels: [channel], ordered: false }, (delivery) => {
        at = Date.now();
        accepting(delivery);
      });
      await trial.until('it comes back', () => again.deliveries.length > 0);
      const [delivery] = again.deliveries;
      assert.ok(at >= notBefore || delivery?.notBefore === notBefore, `it came back ${notBefore - at} ms early`);
      assert.equal(delivery?.attempt, 3, 'attempt');
      await trial.quiet();
      assert.deepEqual(again.texts, ['later'], 'the second process');
      assert.deepEqual(tap.texts, ['later'], 'the other subscription');
    },
  },
];
