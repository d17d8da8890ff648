import assert from 'node:assert/strict';
import type { Delivery, StartPosition } from 'nestjs-eventing';
import { type ConformanceCase, needs } from '../conformance.case.js';
import { assertExactly } from '../expectations.js';
import { groupBy, range } from '../sample.event.js';
import type { Trial } from '../trial.js';
import { accepting, type PortSubscription, type TrialPort } from '../trial.port.js';

/** Where a subscription begins. */
export const positionCases: readonly ConformanceCase[] = [
  {
    id: 'from-first-subscription',
    title: "from 'first-subscription': nothing from before, everything from after subscribe() has resolved",
    async run(trial) {
      const { port, channel, publish } = await prepared(trial);
      await publish(0, 20);
      const got = await port.subscribe({ name: 'reader', channels: [channel] }, accepting);
      await publish(20, 20);
      await arrive(trial, got, 20);
      assertExactly(got.texts, texts(20, 20), 'the reader');
    },
  },
  {
    id: 'from-earliest',
    title: "from 'earliest': everything that is kept, and then what comes",
    needs: [needs.replay],
    async run(trial) {
      const { port, channel, publish } = await prepared(trial);
      await publish(0, 20);
      const got = await port.subscribe({ name: 'reader', channels: [channel], from: 'earliest' }, accepting);
      await publish(20, 20);
      await arrive(trial, got, 40);
      assertExactly(got.texts, texts(0, 40), 'the reader');
    },
  },
  {
    id: 'from-time',
    title: 'from a time: what was stored at it or later',
    needs: [needs.replay],
    async run(trial) {
      const { port, channel, publish } = await prepared(trial);
      await publish(0, 20);
      // Apart by more than clocks of one machine differ.
      await trial.pause(50);
      const time = Date.now();
      await trial.pause(50);
      await publish(20, 20);
      const got = await port.subscribe({ name: 'reader', channels: [channel], from: { time } }, accepting);
      await arrive(trial, got, 20);
      assertExactly(got.texts, texts(20, 20), 'the reader');
    },
  },
  {
    id: 'from-positions',
    title: 'from positions: the message at each position is the first of its source',
    needs: [needs.replay],
    async run(trial) {
      const { port, channel, publish } = await prepared(trial);
      await publish(0, 60);
      const all = await port.subscribe({ name: 'all', channels: [channel], from: 'earliest' }, accepting);
      await arrive(trial, all, 60);
      const sources = groupBy(all.deliveries, ({ source }) => source);
      const wanted: Delivery[] = [];
      const positions: Record<string, string> = {};
      for (const [source, deliveries] of sources) {
        const first = trial.random.below(deliveries.length);
        wanted.push(...deliveries.slice(first));
        // Positions are unique in the channel (`3@1042`); within a source, the part behind the @ suffices.
        positions[source] = deliveries[first]?.position.split('@').at(-1) ?? '';
      }
      const from: StartPosition = { positions };
      const got = await port.subscribe({ name: 'reader', channels: [channel], from }, accepting);
      await arrive(trial, got, wanted.length);
      assertExactly(
        got.deliveries.map(({ position }) => position),
        wanted.map(({ position }) => position),
        'the reader',
      );
    },
  },
  {
    id: 'from-is-for-the-first-time',
    title: 'a durable subscription that has a position keeps it, whatever `from` says',
    needs: [needs.replay, needs.durable],
    async run(trial) {
      const { port, channel, publish } = await prepared(trial);
      await publish(0, 10);
      const first = await port.subscribe({ name: 'reader', channels: [channel], from: 'earliest' }, accepting);
      await arrive(trial, first, 10);
      await first.handle?.stop();
      await publish(10, 10);
      const second = await port.subscribe({ name: 'reader', channels: [channel], from: 'earliest' }, accepting);
      await arrive(trial, second, 10);
      assertExactly(second.texts, texts(10, 10), 'the reader, the second time');
    },
  },
];

const texts = (first: number, count: number): string[] => range(count).map((n) => String(first + n));

interface Prepared {
  readonly port: TrialPort;
  readonly channel: string;
  publish(first: number, count: number): Promise<void>;
}

async function prepared(trial: Trial): Promise<Prepared> {
  const channel = trial.channel();
  const port = await trial.port('one', [channel]);
  return {
    port,
    channel,
    async publish(first, count) {
      await port.publish(
        texts(first, count).map((text, n) => ({ channel, key: `k${n % 8}`, body: Buffer.from(text) })),
      );
    },
  };
}

async function arrive(trial: Trial, got: PortSubscription, count: number): Promise<void> {
  await trial.until(
    `${count} arrive`,
    () => got.deliveries.length >= count,
    () => got.texts.join(', '),
  );
  await trial.quiet();
  assert.equal(got.deliveries.length, count, `deliveries: ${got.texts.join(', ')}`);
}
