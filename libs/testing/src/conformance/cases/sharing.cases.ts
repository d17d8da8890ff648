import assert from 'node:assert/strict';
import { type ConformanceCase, needs } from '../conformance.case.js';
import { assertExactly, assertKeyOrder, idsOf } from '../expectations.js';
import { range, type Sample, sampleId } from '../sample.event.js';

/** The same listener in several processes. */
export const sharingCases: readonly ConformanceCase[] = [
  {
    id: 'competing',
    title: 'instances of one listener share its events: none is lost, none is handled twice, each has a share',
    needs: [needs.groups],
    async run(trial) {
      const placed = trial.event();
      const heard = trial.journal();
      // Slow and with little in hand, so that one instance alone cannot take a whole round.
      const listener = heard.by('receipts', [placed], { window: 4, concurrency: 2 }, () => trial.pause(1));
      const instances = [
        await trial.start('one', { listeners: [listener] }),
        await trial.start('two', { listeners: [listener] }),
      ];
      const sender = await trial.sender([placed]);
      const sent: Sample[] = [];
      const shares = (): number[] => instances.map(({ instance }) => heard.of({ instance }).length);
      await trial.until(
        'each has a share',
        async () => {
          const round = range(50).map((n) => ({ key: 'none', n: sent.length + n }));
          sent.push(...round);
          await sender.sendAll(placed, round);
          return sent.length >= 200 && shares().every((share) => share > 0);
        },
        () => shares().join(' and '),
      );
      await trial.until(
        'all are handled',
        () => heard.distinct() === sent.length,
        () => `${heard.distinct()} of ${sent.length}`,
      );
      await trial.quiet();
      assertExactly(idsOf(heard.calls), sent.map(sampleId), 'both instances');
    },
  },
  {
    id: 'ten-thousand',
    title:
      '10,000 events of many senders at once reach two instances: none is lost, none is repeated, keys stay in order',
    needs: [needs.groups],
    async run(trial) {
      const [loops, each] = [20, 500];
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      const listener = heard.by('receipts', [placed], { concurrency: 32 });
      await Promise.all(['one', 'two'].map((instance) => trial.start(instance, { listeners: [listener] })));
      const senders = [await trial.sender([placed], 'north'), await trial.sender([placed], 'south')];
      const expected: string[] = [];
      await Promise.all(
        range(loops).map(async (loop) => {
          const sender = senders[loop % 2];
          const bodies = range(each).map((n) => ({ by: `s${loop}`, key: `k${(loop * 7 + n) % 50}`, n }));
          expected.push(...bodies.map(sampleId));
          // In bursts of different lengths: some sends share a batch, some do not.
          for (let at = 0; at < each;) {
            const burst = 1 + trial.random.below(60);
            await sender?.sendAll(placed, bodies.slice(at, at + burst));
            at += burst;
          }
        }),
      );
      const all = loops * each;
      await trial.until(
        'all are handled',
        () => heard.count >= all,
        () => `${heard.count} of ${all}`,
      );
      await trial.quiet();
      assertExactly(idsOf(heard.calls), expected, 'both instances');
      if (trial.abilities.order === 'cluster') {
        assertKeyOrder(heard.calls);
        assert.deepEqual(heard.overlaps, []);
      }
    },
  },
  {
    id: 'shared-group',
    title: 'listeners of different channels that share a group get each event once, over all instances',
    needs: [needs.groups],
    async run(trial) {
      const [placed, paid] = [trial.event(), trial.event()];
      const heard = trial.journal();
      const listeners = [
        heard.by('on-placed', [placed], { group: 'orders' }),
        heard.by('on-paid', [paid], { group: 'orders' }),
      ];
      await Promise.all(['one', 'two'].map((instance) => trial.start(instance, { listeners })));
      const sender = await trial.sender([placed, paid]);
      const bodies = range(60).map((n) => ({ key: 'none', n }));
      await Promise.all([sender.sendAll(placed, bodies), sender.sendAll(paid, bodies)]);
      await trial.until(
        'all are handled',
        () => heard.count >= 120,
        () => `${heard.count} of 120`,
      );
      await trial.quiet();
      for (const listener of ['on-placed', 'on-paid'])
        assertExactly(idsOf(heard.of({ listener })), bodies.map(sampleId), listener);
    },
  },
  {
    id: 'uneven-group',
    title: 'members of a group that subscribe to different channels leave no channel without a reader',
    needs: [needs.groups],
    async run(trial) {
      const [placed, paid] = [trial.event(), trial.event()];
      const heard = trial.journal();
      const onPlaced = heard.by('on-placed', [placed], { group: 'orders' });
      const onPaid = heard.by('on-paid', [paid], { group: 'orders' });
      // As during a rolling upgrade that adds the second listener.
      await trial.start('old', { listeners: [onPlaced] });
      await trial.start('new', { listeners: [onPlaced, onPaid] });
      const sender = await trial.sender([placed, paid]);
      const bodies = range(60).map((n) => ({ key: 'none', n }));
      await Promise.all([sender.sendAll(placed, bodies), sender.sendAll(paid, bodies)]);
      await trial.until(
        'all are handled',
        () => heard.count >= 120,
        () => `${heard.count} of 120`,
      );
      await trial.quiet();
      assertExactly(idsOf(heard.of({ listener: 'on-placed' })), bodies.map(sampleId), 'on-placed');
      assertExactly(
        idsOf(heard.of({ listener: 'on-paid', instance: trial.name('new') })),
        bodies.map(sampleId),
        'on-paid',
      );
    },
  },
];
