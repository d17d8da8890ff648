import assert from 'node:assert/strict';
import { type ConformanceCase, needs } from '../conformance.case.js';
import { assertExactly, idsOf } from '../expectations.js';
import { range, sampleId } from '../sample.event.js';

/** Who gets a copy. */
export const copyCases: readonly ConformanceCase[] = [
  {
    id: 'copies',
    title: 'different listeners each get every event once, also those of one name in two services',
    async run(trial) {
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      await Promise.all([
        trial.start('shop', { listeners: [heard.by('receipts', [placed]), heard.by('stock', [placed])] }),
        trial.start('audit', { service: trial.name('audit'), listeners: [heard.by('receipts', [placed])] }),
      ]);
      const sender = await trial.sender([placed]);
      const bodies = range(40).map((n) => ({ key: `k${n % 7}`, n }));
      await sender.sendAll(placed, bodies);
      await trial.until(
        'three copies arrive',
        () => heard.count >= 120,
        () => `${heard.count} of 120`,
      );
      await trial.quiet();
      const expected = bodies.map(sampleId);
      for (const [instance, listener] of [
        ['shop', 'receipts'],
        ['shop', 'stock'],
        ['audit', 'receipts'],
      ] as const)
        assertExactly(
          idsOf(heard.of({ instance: trial.name(instance), listener })),
          expected,
          `${instance}.${listener}`,
        );
    },
  },
  {
    id: 'per-process',
    title: 'perProcess gives each process its own copy, from now on, and leaves nothing behind',
    needs: [needs.perProcess],
    async run(trial) {
      const placed = trial.event();
      const heard = trial.journal();
      const plan = { listeners: [heard.by('cache', [placed], { perProcess: true })] };
      const seen = (instance: string): number[] =>
        heard.of({ instance: trial.name(instance) }).map(({ body }) => body.n);
      const sender = await trial.sender([placed]);
      await sender.sendAll(
        placed,
        range(5).map((n) => ({ key: 'a', n })),
      );
      await trial.start('one', plan);
      const two = await trial.start('two', plan);
      await sender.sendAll(
        placed,
        range(20).map((n) => ({ key: 'a', n: 100 + n })),
      );
      await trial.until(
        'both have all',
        () => heard.count >= 40,
        () => `${heard.count} of 40`,
      );
      await trial.quiet();
      const from = (first: number, count: number): number[] => range(count).map((n) => first + n);
      for (const instance of ['one', 'two'])
        assert.deepEqual(
          seen(instance).sort((a, b) => a - b),
          from(100, 20),
          `what ${instance} got`,
        );

      await trial.stop(two);
      await sender.sendAll(
        placed,
        range(10).map((n) => ({ key: 'a', n: 200 + n })),
      );
      await trial.until('the other goes on', () => seen('one').length === 30);
      await trial.start('two', plan);
      await sender.send(placed, { key: 'a', n: 300 });
      await trial.until('it is back', () => seen('two').includes(300));
      await trial.quiet();
      assert.deepEqual(seen('two').slice(20), [300], 'what it got after its return');
    },
  },
  {
    id: 'per-process-remains',
    title: 'a perProcess subscription that ended leaves no queue or group on the broker',
    needs: [needs.perProcess, needs.hook('remains')],
    async run(trial) {
      const placed = trial.event();
      const heard = trial.journal();
      const sender = await trial.sender([placed]);
      const one = await trial.start('one', { listeners: [heard.by('cache', [placed], { perProcess: true })] });
      await sender.send(placed, { key: 'a', n: 1 });
      await trial.until('it works', () => heard.count === 1);
      await trial.stop(one);
      const left = async (): Promise<string[]> =>
        ((await trial.cluster.remains?.()) ?? []).filter((name) => name.includes(trial.service));
      let names: string[] = [];
      await trial.until(
        'nothing is left',
        async () => (names = await left()).length === 0,
        () => names.join(', '),
      );
    },
  },
];
