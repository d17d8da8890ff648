import assert from 'node:assert/strict';
import type { Delivery } from 'nestjs-eventing';
import { type ConformanceCase, needs } from '../conformance.case.js';
import { assertKeyOrder, assertNoneLost, idsOf } from '../expectations.js';
import { range, sampleId } from '../sample.event.js';
import type { Trial } from '../trial.js';
import { accepting, type PortSubscription, type TrialPort } from '../trial.port.js';

/** What a process that dies leaves behind. */
export const redeliveryCases: readonly ConformanceCase[] = [
  {
    id: 'crash',
    title: 'what a process had not settled when it died is handled by another instance, as a further attempt',
    needs: [needs.groups, needs.durable, needs.hook('crash')],
    async run(trial) {
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      const gate = trial.gate();
      // Whoever is first gets stuck.
      const listener = heard.by('receipts', [placed], {}, () => (heard.count === 1 ? gate.pass() : undefined));
      const instances = [
        await trial.start('one', { listeners: [listener] }),
        await trial.start('two', { listeners: [listener] }),
      ];
      const sender = await trial.sender([placed]);
      await sender.send(placed, { key: 'a', n: 1 });
      await trial.until('one is at work', () => gate.waiting === 1);
      const stuck = heard.calls[0];
      await trial.crash(instances.find(({ instance }) => instance === stuck?.instance) ?? { instance: '' });
      await trial.until('the other gets it', () => heard.count >= 2);
      const second = heard.calls[1];
      assert.notEqual(second?.instance, stuck?.instance);
      assert.equal(second?.envelope.id, stuck?.envelope.id);
      if (trial.environment.traits?.countsCrashes === true) assert.ok((second?.envelope.attempt ?? 0) > 1, 'attempt');
    },
  },
  {
    id: 'crash-and-restart',
    title: 'what a process had not settled when it died comes back when the service starts again',
    needs: [needs.durable, needs.hook('crash')],
    async run(trial) {
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      const gate = trial.gate();
      const listener = heard.by('receipts', [placed], {}, ({ instance }) =>
        instance === trial.name('one') ? gate.pass() : undefined,
      );
      const one = await trial.start('one', { listeners: [listener] });
      const sender = await trial.sender([placed]);
      const bodies = range(12).map((n) => ({ key: `k${n % 4}`, n }));
      await sender.sendAll(placed, bodies);
      await trial.until('four are at work', () => gate.waiting === 4);
      await trial.crash(one);
      await trial.start('two', { listeners: [listener] });
      const rest = (): string[] => idsOf(heard.of({ instance: trial.name('two') }));
      await trial.until(
        'all are handled',
        () => new Set(rest()).size === 12,
        () => rest().join(', '),
      );
      assertKeyOrder(heard.of({ instance: trial.name('two') }));
    },
  },
  {
    id: 'crash-under-load',
    title: 'a crash in full run loses nothing and breaks the order of no key, judged by first calls',
    needs: [needs.order('cluster'), needs.groups, needs.durable, needs.hook('crash')],
    async run(trial) {
      const placed = trial.keyedEvent();
      const heard = trial.journal();
      const listener = heard.by('receipts', [placed], {}, () => trial.pause(trial.random.below(4)));
      const one = await trial.start('one', { listeners: [listener] });
      await trial.start('two', { listeners: [listener] });
      const sender = await trial.sender([placed]);
      const bodies = range(800).map((n) => ({ key: `k${n % 30}`, n }));
      const sends = sender.sendAll(placed, bodies);
      await trial.until(
        'it is in full run',
        () => heard.of({ instance: one.instance }).length > 50,
        () => `${heard.count}`,
      );
      await trial.crash(one);
      const alive = heard.of({ instance: one.instance }).length;
      await sends;
      await trial.until(
        'all are handled',
        () => heard.distinct(heard.done) === 800,
        () => `${heard.distinct(heard.done)} of 800, ${alive} by the dead`,
      );
      assertNoneLost(idsOf(heard.done), bodies.map(sampleId), 'both instances');
      assertKeyOrder(heard.calls);
    },
  },
  {
    id: 'crash-loop',
    title: 'an event that killed its process at each attempt becomes a dead letter and is not tried again',
    needs: [needs.durable, needs.hook('crash'), needs.trait('countsCrashes')],
    run: (trial) => crashLoop(trial, 0),
  },
  {
    id: 'crash-loop-bystanders',
    title: 'events that only waited while another killed their process are not blamed for it, and are handled',
    needs: [needs.durable, needs.hook('crash'), needs.trait('countsCrashes')],
    run: (trial) => crashLoop(trial, 5),
  },
  {
    id: 'gap-and-crash',
    title: 'nothing is confirmed past a message that is not settled: after a crash it comes back',
    needs: [needs.durable, needs.hook('crash')],
    run: (trial) => gap(trial, (port) => trial.crash(port.context)),
  },
  {
    id: 'gap-and-stop',
    title: 'nothing is confirmed past a message that is not settled: after stop() it comes back',
    needs: [needs.durable],
    run: (trial) => gap(trial, (port) => trial.stop(port)),
  },
];

/** One event kills two processes, with others of its key behind it; its listener allows two attempts. */
async function crashLoop(trial: Trial, bystanders: number): Promise<void> {
  const placed = trial.keyedEvent();
  const heard = trial.journal();
  const gate = trial.gate();
  const listener = heard.by('receipts', [placed], { retry: { attempts: 2 } }, ({ body }) =>
    body.n === 0 ? gate.pass() : undefined,
  );
  const sender = await trial.sender([placed]);
  for (const attempt of [1, 2]) {
    const victim = await trial.start(`victim-${attempt}`, { listeners: [listener] });
    const bodies = range(1 + bystanders).map((n) => ({ key: 'a', n }));
    if (attempt === 1) await sender.sendAll(placed, bodies);
    await trial.until('it is at work', () => gate.waiting === attempt);
    await trial.crash(victim);
  }
  const last = await trial.start('last', { listeners: [listener] });
  await trial.until('it is a dead letter', async () => (await last.letters()).length > 0);
  await sender.send(placed, { key: 'a', n: 1 + bystanders });
  await trial.until('its lane goes on', () =>
    heard.of({ instance: last.instance }).some(({ body }) => body.n > bystanders),
  );
  const letters = await last.letters();
  assert.deepEqual(
    letters.map(({ reason, error, attempts }) => [reason, error.code, attempts]),
    [['crashed', 'EVT_CRASH_LOOP', 2]],
  );
  const handled = heard.calls.map(({ body, envelope }) => [body.n, envelope.attempt]);
  const rest = range(1 + bystanders).map((n) => [n + 1, 1]);
  assert.deepEqual(handled, [[0, 1], [0, 2], ...rest]);
}

/** Settles all but the first of each source, ends the process, and looks at what the next one gets. */
async function gap(trial: Trial, end: (port: TrialPort) => Promise<void>): Promise<void> {
  const count = 120;
  const channel = trial.channel();
  const one = await trial.port('one', [channel]);
  const first = new Map<string, Delivery>();
  const got = await one.subscribe({ name: 'reader', channels: [channel], window: count }, (delivery) => {
    if (first.has(delivery.source)) accepting(delivery);
    else first.set(delivery.source, delivery);
  });
  await one.publish(range(count).map((n) => ({ channel, key: `k${n}`, body: Buffer.from(`${n}`) })));
  await trial.until(
    'all are delivered',
    () => got.deliveries.length >= count,
    () => `${got.deliveries.length}`,
  );
  // Confirmations travel in batches: only one that has left can have gone too far.
  await trial.quiet();
  await end(one);
  const two = await trial.port('two', [channel]);
  const again = await two.subscribe({ name: 'reader', channels: [channel], window: count }, accepting);
  await two.publish([{ channel, key: 'marker', body: Buffer.from('marker') }]);
  const unsettled = [...first.values()].map(({ position }) => position);
  const back = (): string[] => positionsOf(again);
  await trial.until(
    'the marker arrives',
    () => again.texts.includes('marker'),
    () => back().join(', '),
  );
  await trial.until(
    'what was not settled comes back',
    () => unsettled.every((position) => back().includes(position)),
    () => `missing ${unsettled.filter((position) => !back().includes(position)).join(', ')}`,
  );
  await trial.quiet();
  const rest = again.deliveries.filter(
    ({ position }, index) => again.texts[index] !== 'marker' && !unsettled.includes(position),
  );
  if (trial.environment.traits?.repeatsBeyondGap === false)
    assert.deepEqual(
      rest.map(({ position }) => position),
      [],
      'what was settled came again',
    );
}

const positionsOf = (subscription: PortSubscription): string[] =>
  subscription.deliveries.map(({ position }) => position);
