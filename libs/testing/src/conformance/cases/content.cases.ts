import assert from 'node:assert/strict';
import type { EnvelopePipeline } from 'nestjs-eventing';
import type { ConformanceCase } from '../conformance.case.js';
import { assertSameBytes, headerBytes } from '../expectations.js';
import { range } from '../sample.event.js';
import { accepting, type MessagePlan, textOf } from '../trial.port.js';

/** What passes through a provider passes unchanged. */
export const contentCases: readonly ConformanceCase[] = [
  {
    id: 'unchanged',
    title: 'bytes, key, headers and time arrive as they were published, odd ones too',
    async run(trial) {
      const channel = trial.channel();
      const port = await trial.port('one', [channel]);
      const got = await port.subscribe({ name: 'reader', channels: [channel] }, accepting);
      const everyByte = Uint8Array.from({ length: 256 }, (_, index) => index);
      const time = Date.now() - 1234;
      const plans: MessagePlan[] = [
        { channel, key: 'plain', headers: { session: 's1', 'x-empty': '' }, body: Buffer.from('{"a":1}'), time },
        { channel, key: 'bytes', body: everyByte },
        { channel, key: 'no-body', body: Buffer.alloc(0) },
        { channel, key: 'schlüssel/✓ 🗝', headers: { 'x-text': 'grüße ✓ 🗝' }, body: Buffer.from('unicode') },
        {
          channel,
          key: 'raw',
          headers: { 'x-bytes': Uint8Array.of(0xff, 0xfe, 0x00, 0x80) },
          body: Buffer.from('raw'),
        },
        { channel, key: 'long', headers: { 'x-long': 'é'.repeat(4000) }, body: Buffer.from('long header') },
        { channel, key: 'many', headers: Object.fromEntries(range(70).map((n) => [`x-${n}`, `${n}`])) },
        { channel, key: '', body: Buffer.from('an empty key is a key') },
        { channel, key: undefined, body: Buffer.from('no key') },
      ];
      const sent = await port.publish(plans);
      await trial.until(
        'all arrive',
        () => got.deliveries.length >= sent.length,
        () => `${got.deliveries.length}`,
      );
      for (const message of sent) {
        const name = `the message with the key ${JSON.stringify(message.key)}`;
        const delivery = got.deliveries.find(({ key }) => key === message.key);
        assert.ok(delivery, `${name} did not arrive with its key`);
        assertSameBytes(delivery.body, message.body, name);
        assert.deepEqual(headerBytes(delivery.headers), headerBytes(message.headers), `headers of ${name}`);
        assert.equal(delivery.time, message.time, `time of ${name}`);
        assert.equal(delivery.channel, channel, `channel of ${name}`);
        assert.equal(delivery.attempt, 1, `attempt of ${name}`);
        assert.equal(delivery.notBefore, undefined, `notBefore of ${name}`);
      }
      const positions = new Set(got.deliveries.map(({ position }) => position));
      assert.equal(positions.size, sent.length, `positions are unique: ${[...positions].join(', ')}`);
    },
  },
  {
    id: 'largest-message',
    title: 'a body of the largest size that the provider declares passes whole',
    async run(trial) {
      const channel = trial.channel();
      const { largestMessage } = trial.abilities;
      const port = await trial.port('one', [channel], { maxBodyBytes: largestMessage });
      const got = await port.subscribe({ name: 'reader', channels: [channel] }, accepting);
      const body = Buffer.alloc(largestMessage);
      // Random, so that no compression makes it smaller than it says.
      for (let at = 0; at + 4 <= body.length; at += 4) body.writeUInt32LE(trial.random.below(2 ** 32), at);
      await port.publish([{ channel, key: 'large', headers: { session: 's'.repeat(1000) }, body }]);
      await trial.until('it arrives', () => got.deliveries.length > 0);
      assertSameBytes(got.deliveries[0]?.body ?? Buffer.alloc(0), body, 'the largest body');
    },
  },
  {
    id: 'session-header',
    title: 'a header set by a pipeline on the way out is there for the pipeline on the way in',
    async run(trial) {
      const [session, restored]: [string, string[]] = ['a session, grüße', []];
      const out: EnvelopePipeline = {
        send: (envelope, _event, next) => {
          envelope.headers.set('session', session);
          return next();
        },
      };
      const back: EnvelopePipeline = {
        handle: (envelope, _listener, next) => {
          restored.push(envelope.headers.get('session') ?? 'none');
          return next();
        },
      };
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      await trial.start('one', { listeners: [heard.by('receipts', [placed])], pipelines: [back] });
      const sender = await trial.sender([placed], 'sender', [out]);
      const envelope = await sender.send(placed, { key: 'a', n: 1 }, { headers: { tenant: 't1' } });
      await trial.until('it is handled', () => heard.count === 1);
      assert.deepEqual(restored, [session]);
      const arrived = heard.calls[0]?.envelope;
      assert.deepEqual(arrived?.headers.toJSON(), { session, tenant: 't1' });
      for (const name of ['id', 'name', 'version', 'source', 'time', 'key', 'correlationId'] as const)
        assert.equal(arrived[name], envelope[name], name);
    },
  },
  {
    id: 'foreign-header',
    title: 'a header that is not UTF-8 makes its own message a dead letter and harms no other',
    async run(trial) {
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      const service = await trial.start('one', { listeners: [heard.by('receipts', [placed])], sends: [placed] });
      const channel = service.runtime.registry.describe(placed).channel;
      const stranger = await trial.port('stranger', [channel]);
      const tap = await stranger.subscribe({ name: 'tap', channels: [channel] }, accepting);
      await service.send(placed, { key: 'a', n: 1 });
      await trial.until('the first arrives', () => tap.deliveries.length === 1);
      const headers = { ...tap.deliveries[0]?.headers, tenant: Uint8Array.of(0x67, 0xff, 0xfe) };
      await stranger.publish([{ channel, key: 'a', headers, body: Buffer.from('{"key":"a","n":2}') }]);
      await service.send(placed, { key: 'a', n: 3 });
      await trial.until('the last is handled', () => heard.calls.some(({ body }) => body.n === 3));
      assert.deepEqual(
        heard.calls.map(({ body }) => body.n),
        [1, 3],
      );
      await trial.until('the bad one is a dead letter', async () => (await service.letters()).length === 1);
      const [letter] = await service.letters();
      assert.equal(letter?.reason, 'undecodable');
      assert.equal(textOf(letter.message), '{"key":"a","n":2}');
      assert.deepEqual(headerBytes(letter.message.headers), headerBytes(headers));
    },
  },
];
