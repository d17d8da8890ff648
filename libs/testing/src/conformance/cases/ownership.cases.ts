import assert from 'node:assert/strict';
import type { Delivery } from 'nestjs-eventing';
import { type ConformanceCase, needs } from '../conformance.case.js';
import { assertExactly, idsOf } from '../expectations.js';
import { range } from '../sample.event.js';
import { accepting, textOf } from '../trial.port.js';

/** Whose a message is, and for how long. */
export const ownershipCases: readonly ConformanceCase[] = [
  {
    id: 'revoked',
    title:
      'sources that move are let go only after revoked() has resolved; what the old owner settles later is ignored',
    needs: [needs.order('cluster'), needs.groups, needs.durable, needs.trait('movesSources')],
    async run(trial) {
      const channel = trial.channel();
      const [one, two] = [await trial.port('one', [channel]), await trial.port('two', [channel])];
      const gate = trial.gate();
      const old = await one.subscribe({ name: 'reader', channels: [channel] }, undefined, () => gate.pass());
      await one.publish(range(60).map((n) => ({ channel, key: `k${n}`, body: Buffer.from(`${n}`) })));
      await trial.until(
        'all are delivered',
        () => old.deliveries.length >= 60,
        () => `${old.deliveries.length}`,
      );
      const firsts = old.deliveries.slice();
      // A provider may have had to begin anew before it settled down.
      const settled = old.lost.length;
      const lost = (): readonly string[] => old.lost.slice(settled);
      const joining = two.subscribe({ name: 'reader', channels: [channel] });
      await trial.until('it is told', () => lost().length > 0);
      await trial.quiet();
      const early = two.subscriptions.flatMap(({ deliveries }) => deliveries.map(({ source }) => source));
      assert.deepEqual(early, [], 'sources that were delivered to the new owner before the old one let go');
      gate.open();
      const fresh = await trial.inTime('the second joins', joining);
      const moved = firsts.filter(({ source }) => lost().includes(source));
      const missing = (deliveries: readonly Delivery[]): Delivery[] => {
        const there = new Set(deliveries.map(textOf));
        return moved.filter((delivery) => !there.has(textOf(delivery)));
      };
      // Of a log, all partitions may be revoked and some given back.
      const again = (): Delivery[] => [...old.deliveries.slice(firsts.length), ...fresh.deliveries];
      await trial.until(
        'what moved is delivered again',
        () => missing(again()).length === 0,
        () => `missing of ${[...new Set(missing(again()).map(({ source }) => source))].join(', ')}`,
      );
      assert.ok(fresh.deliveries.length > 0, 'the second has a share');
      const theirs = new Set(fresh.deliveries.map(textOf));
      for (const delivery of firsts.filter((first) => theirs.has(textOf(first)))) accepting(delivery);
      await trial.quiet();
      const before = old.deliveries.length;
      await trial.stop(two);
      await trial.until('what the second left comes back', () => {
        const back = new Set(old.deliveries.slice(before).map(textOf));
        return [...theirs].every((text) => back.has(text));
      });
    },
  },
  {
    id: 'slow-listener',
    title: 'a message belongs to its listener as long as it is at work, however long, and others go on',
    async run(trial) {
      const placed = trial.event();
      const heard = trial.journal();
      const long = (trial.environment.traits?.ownershipTimeout ?? trial.silence * 2) * 1.5;
      const [began, gate] = [trial.gate(), trial.gate()];
      const listener = heard.by('receipts', [placed], {}, async ({ body }) => {
        if (body.n !== 0) return;
        began.open();
        await gate.pass();
      });
      await trial.start('one', { listeners: [listener] });
      if (trial.abilities.groups) await trial.start('two', { listeners: [listener] });
      const sender = await trial.sender([placed]);
      await sender.send(placed, { key: 'a', n: 0 });
      await trial.inTime('it is at work', began.pass());
      const away = trial.pause(long);
      await sender.sendAll(
        placed,
        range(20).map((n) => ({ key: 'a', n: n + 1 })),
      );
      await trial.until(
        'the others are handled',
        () => heard.done.length >= 20,
        () => `${heard.done.length} of 20`,
      );
      await away;
      gate.open();
      await trial.until(
        'all are handled',
        () => heard.done.length >= 21,
        () => `${heard.done.length} of 21`,
      );
      await trial.quiet();
      assertExactly(
        idsOf(heard.calls),
        range(21).map((n) => `/a/${n}`),
        'all instances',
      );
    },
  },
  {
    id: 'listener-sends',
    title: 'a listener awaits what it sends, one event at a time, and the story is told by its ids',
    async run(trial) {
      const [placed, paid] = [trial.event(), trial.event()];
      const heard = trial.journal();
      const pays = heard.by('pays', [placed], { concurrency: 1, window: 1 }, async ({ body }) => {
        await one.send(paid, body);
      });
      const one = trial.create('one', { listeners: [pays, heard.by('books', [paid])], sends: [placed] });
      await trial.inTime('its start', one.runtime.start());
      const sent = await Promise.all(range(20).map((n) => one.send(placed, { key: 'a', n })));
      await trial.until(
        'all are booked',
        () => heard.of({ listener: 'books' }).length >= 20,
        () => `${heard.count} of 40`,
      );
      await trial.quiet();
      assertExactly(
        idsOf(heard.of({ listener: 'books' })),
        range(20).map((n) => `/a/${n}`),
        'books',
      );
      for (const { body, envelope } of heard.of({ listener: 'books' })) {
        const cause = sent[body.n];
        assert.deepEqual([envelope.causationId, envelope.correlationId], [cause?.id, cause?.correlationId]);
      }
    },
  },
];
