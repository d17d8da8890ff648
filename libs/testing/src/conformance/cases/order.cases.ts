import assert from 'node:assert/strict';
import { type ConformanceCase, needs } from '../conformance.case.js';
import { assertExactly, assertKeyOrder, assertNoneLost, idsOf } from '../expectations.js';
import { groupBy, range, type Sample, sampleId } from '../sample.event.js';
import type { Trial } from '../trial.js';

/** The order of a key. */
export const orderCases: readonly ConformanceCase[] = [
  {
    id: 'key-order',
    title: 'each key is handled in the order sent, one event at a time, while different keys run side by side',
    needs: [needs.order('process')],
    async run(trial) {
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      await trial.start('one', { listeners: [heard.by('receipts', [placed], {}, slowly(trial))] });
      const senders = await Promise.all(['north', 'south', 'west'].map((name) => trial.sender([placed], name)));
      const bodies = senders.flatMap((_, sender) =>
        range(300).map((n) => ({ by: `s${sender}`, key: `k${n % 20}`, n: Math.floor(n / 20) })),
      );
      // Each sender keeps its own order within a key; over keys and senders the order is any.
      const lanes = groupBy(bodies, ({ by, key }) => `${by}/${key}`);
      const turns = trial.random.shuffled(bodies.map(({ by, key }) => `${by}/${key}`));
      const sends = turns.map((lane) => {
        const body = lanes.get(lane)?.shift() as Sample;
        return senders[Number(body.by?.slice(1))]?.send(placed, body);
      });
      await Promise.all(sends);
      await trial.until(
        'all are handled',
        () => heard.count >= 900,
        () => `${heard.count} of 900`,
      );
      assertExactly(idsOf(heard.calls), bodies.map(sampleId), 'the listener');
      assertKeyOrder(heard.calls);
      assert.deepEqual(heard.overlaps, []);
      assert.ok(heard.mostAtOnce > 1, 'no two keys were handled at one time');
    },
  },
  {
    id: 'key-order-across-types',
    title: 'a key keeps its order across the event types of one channel, for a listener of both',
    needs: [needs.order('process')],
    async run(trial) {
      const channel = trial.channel();
      const placed = trial.keyedEvent({ channel, name: 'placed' });
      const cancelled = trial.keyedEvent({ channel, name: 'cancelled' });
      const heard = trial.journal();
      await trial.start('one', { listeners: [heard.by('orders', [placed, cancelled], {}, slowly(trial))] });
      const sender = await trial.sender([placed, cancelled]);
      const bodies = range(200).map((n) => ({ key: `k${n % 8}`, n }));
      await Promise.all(bodies.map((body) => sender.send(trial.random.next() < 0.5 ? placed : cancelled, body)));
      await trial.until(
        'all are handled',
        () => heard.count >= 200,
        () => `${heard.count} of 200`,
      );
      assertExactly(idsOf(heard.calls), bodies.map(sampleId), 'the listener');
      assertKeyOrder(heard.calls);
      assert.deepEqual(heard.overlaps, []);
      assert.equal(new Set(heard.calls.map(({ envelope }) => envelope.name)).size, 2, 'both types were sent');
    },
  },
  {
    id: 'one-at-a-time',
    title:
      'a key is never handled by two at one time, nor out of order, while instances join and leave; nothing is lost',
    needs: [needs.order('cluster'), needs.groups],
    async run(trial) {
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      const plan = { listeners: [heard.by('receipts', [placed], { concurrency: 8 }, slowly(trial))] };
      const sender = await trial.sender([placed]);
      const traffic = new Traffic(trial, (body) => sender.send(placed, body));
      const progress = async (): Promise<void> => {
        const before = heard.count;
        await trial.until(
          'events are handled',
          () => heard.count > before + 60,
          () => `${heard.count} in all`,
        );
      };
      const [one, two] = [await trial.start('one', plan), await trial.start('two', plan)];
      traffic.begin();
      await progress();
      const three = await trial.start('three', plan);
      await progress();
      await trial.stop(one);
      await progress();
      await Promise.all([trial.start('four', plan), trial.stop(two)]);
      await progress();
      await trial.stop(three);
      await progress();
      await traffic.end();
      const expected = traffic.sent.map(sampleId);
      await trial.until(
        'all are handled',
        () => heard.distinct() >= expected.length,
        () => `${heard.distinct()} of ${expected.length}`,
      );
      await trial.quiet();
      assertNoneLost(idsOf(heard.calls), expected, 'all instances');
      assert.deepEqual(heard.overlaps, []);
      assertKeyOrder(heard.calls);
      if (trial.environment.traits?.repeatsOnMove === false)
        assertExactly(idsOf(heard.calls), expected, 'all instances');
    },
  },
];

/** Handlers of different length: what came first is not done first. */
function slowly(trial: Trial): () => Promise<void> | undefined {
  return () => (trial.random.next() < 0.3 ? undefined : trial.pause(trial.random.below(5)));
}

/** Sends to 12 keys all the time, in bursts of four for each: who breaks a key's order has something to break. */
class Traffic {
  readonly sent: Sample[] = [];
  private on = true;
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly trial: Trial,
    private readonly send: (body: Sample) => Promise<unknown>,
  ) {}

  begin(): void {
    this.running = this.run();
    // Looked at by end(); a failure before must not count as unhandled.
    this.running.catch(() => undefined);
  }

  end(): Promise<void> {
    this.on = false;
    return this.running;
  }

  private async run(): Promise<void> {
    for (let n = 0; this.on; n++) {
      const keys = this.trial.random.shuffled(range(12));
      const round = keys.flatMap((key) => range(4).map((step) => ({ key: `k${key}`, n: n * 4 + step })));
      this.sent.push(...round);
      await Promise.all(round.map((body) => this.send(body)));
      await this.trial.pause(10);
    }
  }
}
