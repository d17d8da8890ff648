import type { DeadLetterStore, Delivery, Settlement } from 'nestjs-eventing';
import { setTimeout as pause } from 'node:timers/promises';
import { type MutantPlan, never } from './mutant.plan.js';

/** Wrong about what becomes of a message, and about dead letters. */
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
    caught: { defer: never('later ones arrive') },
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
  {
    name: 'writes letters as text',
    mutate: () => ({
      settle: rejecting(({ letter, ...rest }) => ({
        ...rest,
        letter: { ...letter, message: textual(letter.message) },
      })),
    }),
    caught: { undecodable: /in no letter/ },
  },
  {
    name: 'writes letters without headers',
    mutate: () => ({
      settle: rejecting(({ letter, ...rest }) => ({
        ...rest,
        letter: { ...letter, message: { ...letter.message, headers: {} } },
      })),
    }),
    caught: {
      'dead-letter': /headers of/,
      undecodable: /deep.*equal/,
      redrive: never('it is handled'),
      'foreign-header': /deep.*equal/,
    },
  },
  {
    name: 'lets a rejected message go before its letter is stored',
    mutate: () => ({
      settle: (settlement, delivery) => {
        if (settlement.kind !== 'reject') return delivery.settle(settlement);
        void pause(30).then(() => delivery.settle(settlement));
        return Promise.resolve();
      },
    }),
    caught: { reject: /are lost/ },
  },
  {
    name: 'swallows letters that cannot be stored',
    mutate: () => ({
      settle: (settlement, delivery) => {
        if (settlement.kind !== 'reject') return delivery.settle(settlement);
        return Promise.resolve(delivery.settle(settlement)).catch(() => delivery.settle({ kind: 'accept' }));
      },
    }),
    caught: { 'reject-fails': never('the letter is stored') },
  },
  {
    name: 'delivers a rejected message again after a restart',
    mutate: () => ({
      settle: (settlement, delivery, provider) =>
        settlement.kind === 'reject' ? provider.deadLetters.append(settlement.letter) : delivery.settle(settlement),
    }),
    caught: { reject: /deep.*equal/ },
  },
  {
    name: 'takes letters away when they are looked at',
    mutate: () => ({
      deadLetters: (store) =>
        storeWith(store, {
          async scan(query) {
            const page = await store.scan(query);
            await store.remove(page.letters.map(({ id }) => id));
            return page;
          },
        }),
    }),
    caught: { scan: /pages of/, redrive: /There is no dead letter/ },
  },
  {
    name: 'never ends a scan',
    mutate: () => ({
      deadLetters: (store) =>
        storeWith(store, {
          scan: async (query) => ({ cursor: '0', letters: (await store.scan({ ...query })).letters }),
        }),
    }),
    caught: { scan: /does not end/ },
  },
  {
    name: 'counts letters by their place',
    mutate: () => ({
      deadLetters: (store) =>
        storeWith(store, {
          async scan({ cursor = '0', limit }) {
            const { letters } = await store.scan({ limit: 1000 });
            const end = Number(cursor) + limit;
            return {
              letters: letters.slice(Number(cursor), end),
              ...(end < letters.length ? { cursor: String(end) } : {}),
            };
          },
        }),
    }),
    caught: { 'scan-and-remove': /deep.*equal/ },
  },
  {
    name: 'appends a letter twice',
    mutate() {
      let count = 0;
      return {
        deadLetters: (store) => storeWith(store, { append: (letter) => store.append({ ...letter, id: `${++count}` }) }),
      };
    },
    caught: { 'scan-and-remove': /makes no second one/ },
  },
  {
    name: 'does not remove letters',
    mutate: () => ({ deadLetters: (store) => storeWith(store, { remove: () => Promise.resolve() }) }),
    caught: { redrive: /is there after it was redriven/, 'scan-and-remove': /what is left/ },
  },
];

type Rejection = Extract<Settlement, { kind: 'reject' }>;

const rejecting =
  (change: (rejection: Rejection) => Rejection) =>
  (settlement: Settlement, delivery: Delivery): Promise<void> | void =>
    delivery.settle(settlement.kind === 'reject' ? change(settlement) : settlement);

const textual = (message: Rejection['letter']['message']): Rejection['letter']['message'] => ({
  ...message,
  body: Buffer.from(Buffer.from(message.body).toString()),
});

const storeWith = (store: DeadLetterStore, changes: Partial<DeadLetterStore>): DeadLetterStore => ({
  append: (letter) => store.append(letter),
  scan: (query) => store.scan(query),
  remove: (ids) => store.remove(ids),
  ...changes,
});
