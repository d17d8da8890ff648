import { setTimeout as pause } from 'node:timers/promises';
import { type MutantPlan, never } from './mutant.plan.js';

const NEVER_TWICE = /came more than once/;

/** Wrong about what goes together. */
export const transactionMutants: readonly MutantPlan[] = [
  {
    name: 'forgets the outputs of what is accepted',
    mutate: () => ({
      settle: (settlement, delivery) => delivery.settle(settlement.kind === 'accept' ? { kind: 'accept' } : settlement),
    }),
    caught: {
      'transaction-outputs': never('every output arrives'),
      'exactly-once-outputs': never('its output arrives'),
      'exactly-once-failed-attempt': never('the outputs of the last attempt arrive'),
    },
  },
  {
    name: 'publishes outputs, and settles their message when it finds the time',
    mutate: () => ({
      settle: async (settlement, delivery, provider) => {
        if (settlement.kind === 'accept' && settlement.outputs !== undefined)
          await provider.publish(settlement.outputs);
        if (settlement.kind === 'reject') await provider.deadLetters.append(settlement.letter);
        void pause(1_000, undefined, { ref: false }).then(() => delivery.settle({ kind: 'accept' }));
      },
    }),
    caught: {
      'transaction-crash': NEVER_TWICE,
      'transaction-behind-a-gap': NEVER_TWICE,
      'transaction-dead-letter': NEVER_TWICE,
      'exactly-once-under-load': NEVER_TWICE,
    },
  },
  {
    name: 'settles a message, and publishes its outputs when it finds the time',
    mutate: () => ({
      settle: (settlement, delivery, provider) => {
        if (settlement.kind !== 'accept' || settlement.outputs === undefined) return delivery.settle(settlement);
        const { outputs } = settlement;
        void pause(100, undefined, { ref: false }).then(() => provider.publish(outputs).catch(() => undefined));
        return delivery.settle({ kind: 'accept' });
      },
    }),
    caught: {
      'transaction-crash': never('every output arrives'),
      'exactly-once-under-load': never('every output arrives'),
    },
  },
  {
    name: 'publishes what is settled by one who has lost the message',
    mutate: () => ({
      settle: async (settlement, delivery, provider) => {
        if (settlement.kind === 'accept' && settlement.outputs !== undefined)
          await provider.publish(settlement.outputs);
        await delivery.settle(settlement.kind === 'accept' ? { kind: 'accept' } : settlement);
      },
    }),
    caught: { 'transaction-zombie': NEVER_TWICE },
  },
  {
    name: 'confirms what it delivers before it is handled',
    mutate: () => ({
      deliver: (delivery, subscriber, original) => {
        void original.settle({ kind: 'accept' });
        subscriber.deliver(delivery);
      },
    }),
    caught: { 'exactly-once-crash': never('it is handled again') },
  },
];
