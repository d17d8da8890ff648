import assert from 'node:assert/strict';
import { EventingError } from 'nestjs-eventing';
import { type ConformanceCase, needs } from '../conformance.case.js';
import { assertExactly } from '../expectations.js';
import { range } from '../sample.event.js';
import { accepting } from '../trial.port.js';

/** Beginning and end of a provider. */
export const lifecycleCases: readonly ConformanceCase[] = [
  {
    id: 'topology-check',
    title: "under topology: 'check' a missing channel refuses the start by name, and one that is there does not",
    async run(trial) {
      const [there, missing] = [trial.channel(), trial.channel()];
      const maker = await trial.port('maker', [there]);
      await maker.publish([{ channel: there, key: 'a', body: Buffer.from('1') }]);
      await trial.port('fine', [there], { topology: 'check' });
      const refused = await trial
        .port('refused', [there, missing], { topology: 'check' })
        .catch((error: unknown) => error);
      assert.ok(refused instanceof EventingError, `start() gave ${String(refused)}`);
      assert.equal(refused.code, 'EVT_TOPOLOGY');
      assert.ok(refused.message.includes(missing), `it does not name ${missing}: ${refused.message}`);
    },
  },
  {
    id: 'stop-anytime',
    title: 'stop() never rejects: before start(), twice, and with a handle that was stopped already',
    async run(trial) {
      const channel = trial.channel();
      await trial.inTime('stop() before start()', trial.unstarted('early').provider.stop());
      const port = await trial.port('one', [channel]);
      const got = await port.subscribe({ name: 'reader', channels: [channel] }, accepting);
      await port.publish([{ channel, key: 'a', body: Buffer.from('1') }]);
      await trial.until('it works', () => got.deliveries.length === 1);
      await trial.inTime('both stops of the handle', Promise.all([got.handle?.stop(), got.handle?.stop()]));
      await trial.inTime('both stops of the provider', Promise.all([port.provider.stop(), port.provider.stop()]));
      await trial.inTime('the last stop', port.provider.stop());
      // A handle that is stopped does nothing, and does not fail.
      got.handle?.pause();
      got.handle?.resume();
      await trial.inTime('a stop of the handle after all', Promise.resolve(got.handle?.stop()));
      const failed = await port.tryPublish([{ channel, key: 'a' }]).then(
        ([failure]) => failure?.error,
        (error: unknown) => error,
      );
      assert.ok(failed instanceof EventingError, `publish() after stop() gave ${String(failed)}`);
    },
  },
  {
    id: 'large-batch',
    title: 'one publish() takes a batch of many large messages, whatever the broker takes at once',
    async run(trial) {
      const channel = trial.channel();
      const port = await trial.port('one', [channel]);
      const got = await port.subscribe({ name: 'reader', channels: [channel] }, accepting);
      const size = Math.min(trial.abilities.largestMessage, 900_000);
      const plans = range(24).map((n) => ({ channel, key: `k${n % 3}`, body: Buffer.alloc(size, `${n},`) }));
      await trial.inTime('it is published', port.publish(plans));
      await trial.until(
        'all arrive',
        () => got.deliveries.length >= 24,
        () => `${got.deliveries.length} of 24`,
      );
      const first = (body: Uint8Array): string => Buffer.from(body.subarray(0, 8)).toString();
      assertExactly(
        got.deliveries.map(({ body }) => first(body)),
        plans.map(({ body }) => first(body)),
        'the reader',
      );
      assert.ok(
        got.deliveries.every(({ body }) => body.byteLength === size),
        'all are whole',
      );
    },
  },
  {
    id: 'away-too-long',
    title: 'a start that the broker misses is refused in time, and leaves nobody behind who takes events',
    needs: [needs.durable, needs.hook('disconnect'), needs.hook('connect')],
    async run(trial) {
      const placed = trial.event();
      const heard = trial.journal();
      const plan = { listeners: [heard.by('receipts', [placed])] };
      await trial.stop(await trial.start('before', plan));
      await trial.disconnect();
      const late = trial.create('late', {
        ...plan,
        options: { startTimeout: Math.max(300, trial.silence), drain: 1000 },
      });
      const refused = await trial.inTime(
        'it is refused',
        late.runtime.start().catch((error: unknown) => error),
      );
      assert.ok(refused instanceof EventingError, `start() gave ${String(refused)}`);
      assert.equal(refused.code, 'EVT_START_TIMEOUT');
      await trial.connect();
      await trial.quiet();
      await trial.start('two', plan);
      const sender = await trial.sender([placed]);
      await sender.sendAll(
        placed,
        range(30).map((n) => ({ key: 'a', n })),
      );
      await trial.until(
        'all are handled',
        () => heard.distinct() === 30,
        () => `${heard.distinct()} of 30`,
      );
      assert.equal(heard.of({ instance: late.instance }).length, 0, 'the late one took some');
    },
  },
];
