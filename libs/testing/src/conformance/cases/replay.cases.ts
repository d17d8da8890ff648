import assert from 'node:assert/strict';
import type { Delivery } from 'nestjs-eventing';
import { type ConformanceCase, needs } from '../conformance.case.js';
import { assertExactly, idsOf } from '../expectations.js';
import { range } from '../sample.event.js';
import { accepting, type PortSubscription, type TrialPort } from '../trial.port.js';

/** Subscriptions with an end, and listeners that are shown the past by them. */
export const replayCases: readonly ConformanceCase[] = [
  {
    id: 'replay-ends',
    title:
      'a subscription until now gets what is stored when it begins and nothing that comes later, and tells its end',
    needs: [needs.boundedReplay],
    async run(trial) {
      const channel = trial.channel();
      const port = await trial.port('one', [channel]);
      await publish(port, channel, 0, 40);
      const got = await replay(port, channel, accepting);
      await publish(port, channel, 40, 10);
      const ended = endOf(got);
      await trial.until('it ends', () => ended.is);
      await trial.quiet();
      assertExactly(got.texts, texts(0, 40), 'the replay');
    },
  },
  {
    id: 'replay-ends-settled',
    title: 'a subscription until now ends when all of it is settled, not when it is delivered',
    needs: [needs.boundedReplay],
    async run(trial) {
      const channel = trial.channel();
      const port = await trial.port('one', [channel]);
      await publish(port, channel, 0, 10);
      const held: Delivery[] = [];
      const got = await replay(port, channel, (delivery) => void held.push(delivery));
      const ended = endOf(got);
      await trial.until('10 arrive', () => held.length === 10);
      for (const delivery of held.slice(0, 9)) await delivery.settle({ kind: 'accept' });
      await trial.quiet();
      assert.equal(ended.is, false, 'it ended before all of it was settled');
      await held[9]?.settle({ kind: 'accept' });
      await trial.until('it ends', () => ended.is);
    },
  },
  {
    id: 'replay-ends-empty',
    title: 'a subscription until now ends at once where nothing is stored, and where it is stopped',
    needs: [needs.boundedReplay],
    async run(trial) {
      const channel = trial.channel();
      const port = await trial.port('one', [channel]);
      const empty = endOf(await replay(port, channel, accepting));
      await trial.until('the empty one ends', () => empty.is);
      await publish(port, channel, 0, 5);
      const got = await replay(port, channel, () => undefined, 'second');
      const stopped = endOf(got);
      await trial.until('5 arrive', () => got.deliveries.length === 5);
      await got.handle?.stop();
      await trial.until('the stopped one ends', () => stopped.is);
    },
  },
  {
    id: 'replay-beside-live',
    title: 'a listener is shown the past again while it handles the present, and its position does not move',
    needs: [needs.boundedReplay, needs.durable],
    async run(trial) {
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      const receipts = heard.by('receipts', [placed], {});
      const one = await trial.start('one', { listeners: [receipts] });
      const sender = await trial.sender([placed]);
      for (const n of range(12)) await sender.send(placed, { key: `k${n % 3}`, n });
      await trial.until('all are handled', () => heard.done.length === 12);
      const again = await one.runtime.replays.start({ listener: 'receipts', from: 'earliest' });
      for (const n of range(4)) await sender.send(placed, { key: 'live', n });
      let report: Awaited<typeof again.ended> | undefined;
      void again.ended.then((end) => (report = end));
      await trial.until('the replay ends', () => report !== undefined);
      assert.deepEqual(report, { handled: 12, skipped: 0, deadLettered: 0, discarded: 0, complete: true });
      await trial.until('the present is handled', () => heard.done.length >= 28);
      const past = heard.calls.filter(({ envelope }) => envelope.isReplay);
      assertExactly(
        idsOf(past),
        range(12).map((n) => `/k${n % 3}/${n}`),
        'the replay',
      );
      assert.ok(
        past.every(({ envelope }) => envelope.attempt === 1),
        'its attempts are its own',
      );
      await trial.stop(one);
      await trial.start('two', { listeners: [receipts] });
      await sender.send(placed, { key: 'last', n: 1 });
      await trial.until('the last is handled', () => heard.done.length >= 29);
      await trial.quiet();
      assert.deepEqual(idsOf(heard.of({ instance: trial.name('two') })), ['/last/1'], 'after the next start');
    },
  },
];

const texts = (first: number, count: number): string[] => range(count).map((n) => String(first + n));

async function publish(port: TrialPort, channel: string, first: number, count: number): Promise<void> {
  await port.publish(texts(first, count).map((text, n) => ({ channel, key: `k${n % 8}`, body: Buffer.from(text) })));
}

function replay(
  port: TrialPort,
  channel: string,
  deliver: (delivery: Delivery) => void,
  name = 'replay',
): Promise<PortSubscription> {
  const until = { perProcess: true, durable: false, from: 'earliest', until: 'now' } as const;
  return port.subscribe({ name: `reader#${name}`, channels: [channel], ...until }, deliver);
}

/** Whether it has ended yet. */
function endOf({ handle }: PortSubscription): { is: boolean } {
  const end = { is: false };
  assert.ok(handle?.ended !== undefined, 'the handle tells no end');
  void handle.ended.then(() => (end.is = true));
  return end;
}
