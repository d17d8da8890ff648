import assert from 'node:assert/strict';
import { type ConformanceCase, needs } from '../conformance.case.js';
import { assertExactly, assertSameBytes, headerBytes, idsOf } from '../expectations.js';
import { range } from '../sample.event.js';
import { accepting } from '../trial.port.js';

/** Sending to one subscription alone. */
export const redriveCases: readonly ConformanceCase[] = [
  {
    id: 'redrive',
    title: 'a redriven letter reaches its one listener alone, as it was, and is gone from the store',
    async run(trial) {
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      let broken = true;
      const receipts = heard.by('receipts', [placed], { retry: { attempts: 1 } }, ({ body, service }) => {
        if (broken && service === trial.service && body.n === 1) throw new Error('broken');
      });
      const one = await trial.start('one', { listeners: [receipts, heard.by('stock', [placed])] });
      // Of the same name, in another service.
      await trial.start('audit', { service: trial.name('audit'), listeners: [receipts] });
      const sender = await trial.sender([placed]);
      const sent = await sender.send(
        placed,
        { key: 'a', n: 1 },
        { headers: { session: 's1' }, correlationId: 'story' },
      );
      await trial.until('it is a dead letter', async () => (await one.letters()).length === 1);
      await trial.until('the others have it', () => heard.count === 3);
      broken = false;
      const [letter] = await one.letters();
      await one.runtime.deadLetters.redrive(letter?.id ?? '');
      const left = (await one.letters()).map(({ id }) => id);
      assert.ok(letter && !left.includes(letter.id), 'the letter is there after it was redriven');
      await trial.until('it is handled', () => heard.count >= 4);
      await sender.send(placed, { key: 'a', n: 2 });
      await trial.until(
        'the next arrives everywhere',
        () => heard.calls.filter(({ body }) => body.n === 2).length >= 3,
      );
      await trial.quiet();
      const instance = trial.name('one');
      assert.deepEqual(idsOf(heard.of({ instance, listener: 'receipts' })), ['/a/1', '/a/1', '/a/2']);
      assert.deepEqual(idsOf(heard.of({ instance, listener: 'stock' })), ['/a/1', '/a/2']);
      assert.deepEqual(idsOf(heard.of({ instance: trial.name('audit') })), ['/a/1', '/a/2']);
      const again = heard.of({ instance, listener: 'receipts' })[1]?.envelope;
      for (const name of ['id', 'name', 'version', 'source', 'time', 'key', 'correlationId'] as const)
        assert.equal(again?.[name], sent[name], name);
      assert.deepEqual(again?.headers.toJSON(), { session: 's1' });
      assert.equal(again?.attempt, 1, 'its attempts are counted anew');
    },
  },
  {
    id: 'send-to-one',
    title: 'what is published to one subscription reaches no other, not even one that begins in the past',
    async run(trial) {
      const channel = trial.channel();
      const port = await trial.port('one', [channel]);
      const chosen = await port.subscribe({ name: 'chosen', channels: [channel] }, accepting);
      const other = await port.subscribe({ name: 'other', channels: [channel] }, accepting);
      const body = Uint8Array.of(0, 255, 1, 128);
      const headers = { session: 's1', 'x-bytes': Uint8Array.of(0xff, 0xfe) };
      await port.publish(range(3).map(() => ({ channel, key: 'a', headers, body, to: 'chosen' })));
      await port.publish([{ channel, key: 'a', body: Buffer.from('marker') }]);
      await trial.until('they arrive', () => chosen.deliveries.length >= 4 && other.deliveries.length >= 1);
      if (trial.abilities.replay) {
        const late = await port.subscribe({ name: 'late', channels: [channel], from: 'earliest' }, accepting);
        await trial.until('the late one reads', () => late.texts.includes('marker'));
        await trial.quiet();
        assert.deepEqual(late.texts, ['marker'], 'the late one');
      }
      await trial.quiet();
      assert.deepEqual(other.texts, ['marker'], 'the other one');
      assert.equal(chosen.deliveries.length, 4, 'the chosen one');
      for (const delivery of chosen.deliveries.filter(({ body: { byteLength } }) => byteLength === 4)) {
        assertSameBytes(delivery.body, body, 'what was sent to it');
        assert.deepEqual(headerBytes(delivery.headers), headerBytes(headers));
        assert.equal(delivery.key, 'a');
        assert.equal(delivery.channel, channel);
      }
    },
  },
  {
    id: 'send-to-one-away',
    title: 'what is published to a durable subscription whose processes are away waits for the next',
    needs: [needs.durable],
    async run(trial) {
      const channel = trial.channel();
      const port = await trial.port('one', [channel]);
      const before = await port.subscribe({ name: 'reader', channels: [channel] }, accepting);
      await port.publish([{ channel, key: 'a', body: Buffer.from('before') }]);
      await trial.until('it works', () => before.deliveries.length === 1);
      await before.handle?.stop();
      await port.publish([{ channel, key: 'a', body: Buffer.from('redriven'), to: 'reader' }]);
      const after = await port.subscribe({ name: 'reader', channels: [channel] }, accepting);
      await trial.until('it arrives', () => after.deliveries.length > 0);
      await trial.quiet();
      assertExactly(after.texts, ['redriven'], 'the reader');
    },
  },
];
