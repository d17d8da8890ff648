import type { Delivery } from 'nestjs-eventing';
import { setTimeout as pause } from 'node:timers/promises';
import { type MutantPlan, never } from './mutant.plan.js';

/** Wrong about what becomes of a message. */
export const settlementMutants: readonly MutantPlan[] = [
  {
    name: 'accepts past a gap',
    mutate() {
      const open = new Map<string, Delivery[]>();
      return {
        deliver: (delivery, subscriber, original) => {
          open.set(delivery.source, [...(open.get(delivery.source) ?? []), original]);
          subscriber.deliver(delivery);
        },
        settle: (settlement, delivery) => {
          if (settlement.kind !== 'accept') return delivery.settle(settlement);
          // As who writes down the offset of the latest.
          const all = open.get(delivery.source) ?? [];
          const at = all.findIndex(({ position }) => position === delivery.position);
          for (const before of all.splice(0, at + 1)) void before.settle(settlement);
          return undefined;
        },
      };
    },
    caught: { 'gap-and-crash': never('what was not settled'), 'gap-and-stop': never('what was not settled') },
  },
  {
    name: 'drops what is released',
    mutate: () => ({
      settle: (settlement, delivery) =>
        delivery.settle(settlement.kind === 'release' ? { kind: 'accept' } : settlement),
    }),
    caught: { release: /deep.*equal/, drain: never('the rest is handled') },
  },
  {
    name: 'keeps what is released for a while',
    mutate: () => ({
      settle: (settlement, delivery) =>
        delivery.settle(
          settlement.kind === 'release'
            ? { kind: 'defer', notBefore: Date.now() + 60_000, attempt: delivery.attempt }
            : settlement,
        ),
    }),
    caught: { 'drain-back-off': never('the next gets it'), drain: never('the rest is handled') },
  },
  {
    name: 'never confirms what is accepted',
    mutate: () => ({
      settle: (settlement, delivery) => (settlement.kind === 'accept' ? undefined : delivery.settle(settlement)),
    }),
    caught: {
      durable: /came more than once/,
      'gap-and-stop': /what was settled came again/,
      'from-is-for-the-first-time': /deliveries: /,
      window: never('all are delivered'),
    },
  },
  {
    name: 'heeds what the old owner settles of a message that has moved',
    mutate() {
      const latest = new Map<string, Delivery>();
      const id = ({ channel, position }: Delivery): string => `${channel}/${position}`;
      return {
        deliver: (delivery, subscriber, original) => {
          latest.set(id(original), original);
          subscriber.deliver(delivery);
        },
        settle: (settlement, delivery) => (latest.get(id(delivery)) ?? delivery).settle(settlement),
      };
    },
    caught: { revoked: never('what the second left comes back') },
  },
  {
    name: 'defers for half the time',
    silence: 800,
    mutate: () => ({
      settle: (settlement, delivery) => {
        if (settlement.kind !== 'defer') return delivery.settle(settlement);
        return delivery.settle({ ...settlement, notBefore: (Date.now() + settlement.notBefore) / 2 });
      },
    }),
    caught: { defer: /ms early/, 'defer-survives': /ms early/, 'retry-moved': /were due/ },
  },
  {
    name: 'defers in its own memory',
    mutate() {
      return {
        settle: (settlement, delivery) => {
          if (settlement.kind !== 'defer') return delivery.settle(settlement);
          void delivery.settle({ kind: 'accept' });
          return Promise.resolve();
        },
      };
    },
    caught: {
      'defer-survives': never('it comes back'),
      defer: never('it comes back'),
      'retry-moved': never('all are handled'),
    },
  },
  {
    name: 'holds all others up while a message is deferred',
    mutate() {
      let held = 0;
      return {
        deliver(delivery, subscriber) {
          // Behind whatever the clock says: the whole subscription waits.
          const wait = Math.max(0, held - Date.now());
          if (wait === 0) subscriber.deliver(delivery);
          else void pause(wait).then(() => subscriber.deliver(delivery));
        },
        settle: (settlement, delivery) => {
          if (settlement.kind === 'defer') held = settlement.notBefore + 50;
          return delivery.settle(settlement);
        },
      };
    },
    caught: { defer: never('(all others|later ones) arrive') },
  },
  {
    name: 'puts what is released behind all others',
    mutate: () => ({
      settle: (settlement, delivery) =>
        delivery.settle(
          settlement.kind === 'release'
            ? { kind: 'defer', notBefore: Date.now(), attempt: delivery.attempt }
            : settlement,
        ),
    }),
    caught: { release: /deep.*equal/ },
  },
  {
    name: 'heeds every settlement',
    mutate: () => ({
      settle: (settlement, delivery, provider) => {
        void delivery.settle(settlement);
        if (settlement.kind !== 'release') return undefined;
        const { channel, key, headers, body, time } = delivery;
        return provider
          .publish([{ id: 'again', channel, key, headers, body, time, durable: true }])
          .then(() => undefined);
      },
    }),
    caught: { 'settle-once': /came more than once/ },
  },
];
