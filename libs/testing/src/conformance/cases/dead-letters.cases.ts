import assert from 'node:assert/strict';
import type { DeadLetter, Delivery } from 'nestjs-eventing';
import { type ConformanceCase, needs } from '../conformance.case.js';
import { assertExactly, assertSameBytes, headerBytes } from '../expectations.js';
import { range } from '../sample.event.js';
import { accepting, letterOf } from '../trial.port.js';

/** What cannot be handled, and where it waits. */
export const deadLetterCases: readonly ConformanceCase[] = [
  {
    id: 'dead-letter',
    title: 'a dead letter has the bytes and headers of the message, the reason, the error and the attempts',
    async run(trial) {
      const [placed, paid] = [trial.keyedEvent(), trial.event()];
      const heard = trial.journal();
      const fail = (): never => {
        throw new RangeError('no such order');
      };
      const retry = { attempts: 2, delay: 10 };
      const service = await trial.start('one', {
        listeners: [heard.by('in-place', [placed], { retry }, fail), heard.by('moved', [paid], { retry }, fail)],
        sends: [placed, paid],
      });
      const channels = [placed, paid].map((event) => service.runtime.registry.describe(event).channel);
      const tapped = await trial.port('tap', channels);
      const tap = await tapped.subscribe({ name: 'tap', channels }, accepting);
      const before = Date.now();
      const sent = [
        await service.send(placed, { key: 'a', n: 1 }, { headers: { session: 's1' } }),
        await service.send(paid, { key: 'a', n: 2 }, { headers: { session: 's2' } }),
      ];
      await trial.until('both are dead letters', async () => (await service.letters()).length >= 2);
      await trial.until('the tap has both', () => tap.deliveries.length === 2);
      const letters = await service.letters();
      for (const [index, listener] of ['in-place', 'moved'].entries()) {
        const letter = letters.find((one) => one.listener === listener) as DeadLetter;
        assert.ok(letter, `${listener} has a letter`);
        const raw = tap.deliveries.find(({ channel }) => channel === channels[index]) as Delivery;
        assertSameBytes(letter.message.body, raw.body, listener);
        assert.deepEqual(headerBytes(letter.message.headers), headerBytes(raw.headers), `headers of ${listener}`);
        assert.equal(letter.message.key, raw.key);
        assert.equal(letter.message.time, raw.time);
        assert.deepEqual(letter.event, { name: sent[index]?.name, version: 1, id: sent[index]?.id });
        assert.deepEqual([letter.service, letter.channel], [trial.service, channels[index]]);
        assert.deepEqual([letter.reason, letter.attempts], ['failed', 2]);
        assert.deepEqual([letter.error.name, letter.error.message], ['RangeError', 'no such order']);
        assert.ok(letter.firstFailedAt >= before && letter.deadAt >= letter.firstFailedAt, 'its times');
      }
      assert.equal(heard.count, 4, 'two attempts each');
    },
  },
  {
    id: 'undecodable',
    title: 'foreign bytes that nobody can read become dead letters as they came, and the next event is handled',
    async run(trial) {
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      const service = await trial.start('one', { listeners: [heard.by('receipts', [placed])], sends: [placed] });
      const { channel, name } = service.runtime.registry.describe(placed);
      const stranger = await trial.port('stranger', [channel]);
      const { attributePrefix: p, contentTypeHeader } = stranger.provider.binding;
      const head = { [`${p}specversion`]: '1.0', [`${p}id`]: '1', [`${p}source`]: '/x', [`${p}type`]: name };
      const bodies = [Uint8Array.of(0, 255, 10, 13, 128), Buffer.from('{"key":"a",'), Buffer.alloc(0)];
      const headers = [{ 'x-foreign': 'yes' }, { ...head, [contentTypeHeader]: 'application/json' }, {}];
      await stranger.publish(bodies.map((body, index) => ({ channel, key: 'a', body, headers: headers[index] ?? {} })));
      await service.send(placed, { key: 'a', n: 1 });
      await trial.until('the good one is handled', () => heard.count === 1);
      await trial.until('the others are dead letters', async () => (await service.letters()).length >= 3);
      const letters = await service.letters();
      assert.equal(letters.length, 3);
      for (const [index, body] of bodies.entries()) {
        const letter = letters.find(
          ({ message }) => Buffer.compare(Buffer.from(message.body), Buffer.from(body)) === 0,
        );
        assert.ok(letter, `body ${index} is in no letter as it was`);
        assert.deepEqual([letter.reason, letter.error.code, letter.attempts], ['undecodable', 'EVT_UNDECODABLE', 0]);
        assert.equal(letter.message.key, 'a');
        assert.deepEqual(headerBytes(letter.message.headers), headerBytes(headers[index] ?? {}));
      }
    },
  },
  {
    id: 'reject',
    title: 'a rejected message is stored before it is gone, and does not come back',
    needs: [needs.durable],
    async run(trial) {
      const channel = trial.channel();
      const one = await trial.port('one', [channel]);
      const rejections: (Promise<void> | void)[] = [];
      const got = await one.subscribe({ name: 'reader', channels: [channel] }, (delivery) => {
        const letter = letterOf(delivery, trial.service, 'reader', Date.now());
        rejections.push(delivery.settle({ kind: 'reject', letter }));
      });
      await one.publish(
        range(6).map((n) => ({ channel, key: 'a', headers: { n: `${n}` }, body: Buffer.from(`${n}`) })),
      );
      await trial.until(
        'all arrive',
        () => got.deliveries.length >= 6,
        () => `${got.deliveries.length}`,
      );
      await Promise.all(rejections);
      // As soon as it has resolved: a letter that appears later could be lost before.
      const letters = await one.letters();
      assertExactly(bodiesOf(letters), range(6).map(String), 'the store');
      await trial.stop(one);
      const two = await trial.port('two', [channel]);
      const again = await two.subscribe({ name: 'reader', channels: [channel] }, accepting);
      await two.publish([{ channel, key: 'a', body: Buffer.from('marker') }]);
      await trial.until('the marker arrives', () => again.texts.includes('marker'));
      assert.deepEqual(again.texts, ['marker']);
    },
  },
  {
    id: 'reject-fails',
    title: 'where the store does not take a letter, the message is kept until it does',
    needs: [needs.hook('makeDeadLettersFail')],
    async run(trial) {
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      const service = await trial.start('one', {
        listeners: [
          heard.by('receipts', [placed], { retry: { attempts: 1 } }, ({ body }) => {
            if (body.n === 0) throw new Error('never');
          }),
        ],
        sends: [placed],
      });
      const mend = await trial.cluster.makeDeadLettersFail?.(trial.service);
      await service.sendAll(placed, [
        { key: 'a', n: 0 },
        { key: 'a', n: 1 },
        { key: 'b', n: 2 },
      ]);
      await trial.until('the other key goes on', () => heard.calls.some(({ body }) => body.n === 2));
      await trial.quiet();
      assert.deepEqual(await service.letters(), []);
      assert.equal(heard.count, 2, 'its lane waits');
      await mend?.();
      await trial.until('the letter is stored', async () => (await service.letters()).length === 1);
      await trial.until('its lane goes on', () => heard.count >= 3);
      assert.deepEqual(heard.calls.map(({ body }) => body.n).sort(), [0, 1, 2]);
    },
  },
];

const bodiesOf = (letters: readonly DeadLetter[]): string[] =>
  letters.map(({ message }) => Buffer.from(message.body).toString());
