import type { DeadLetterStore, Delivery, Settlement } from 'nestjs-eventing';
import { setTimeout as pause } from 'node:timers/promises';
import { type MutantPlan, never } from './mutant.plan.js';

/** Wrong about dead letters. */
export const deadLetterMutants: readonly MutantPlan[] = [
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
    caught: { 'reject-fails': /its lane waits/ },
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
