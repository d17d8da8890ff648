import type { DeadLetterSequences, DeadLetterStore } from 'nestjs-eventing';
import { setTimeout as pause } from 'node:timers/promises';
import { type MutantPlan, never } from './mutant.plan.js';

/** Wrong about dead letters that keep the order of their keys. */
export const sequenceMutants: readonly MutantPlan[] = [
  {
    name: 'lets events of a key pass its dead letter',
    mutate: () => ({ deadLetters: (store) => sequencesWith(store, () => ({ park: () => Promise.resolve(false) })) }),
    caught: { 'sequence-waits': never('there are 4 letters'), 'sequence-fails-again': never('there are 3 letters') },
  },
  {
    name: 'releases whichever letter is asked for',
    mutate: () => ({
      deadLetters: (store) =>
        sequencesWith(store, (sequences) => ({
          async release(id) {
            const outcome = await sequences.release(id);
            return outcome.kind === 'behind' ? { kind: 'released', number: 1 } : outcome;
          },
        })),
    }),
    caught: { 'sequence-middle': /a letter in the middle was redriven/, 'sequence-store': /deep.*equal/ },
  },
  {
    name: 'takes a letter out of its row when it is sent',
    mutate: () => ({
      deadLetters: (store) =>
        sequencesWith(store, (sequences) => ({
          async advance(key, release) {
            const next = await sequences.advance(key, release);
            if (next !== undefined) await store.remove([next.letter.id]);
            return next;
          },
          isCurrent: () => Promise.resolve(true),
        })),
    }),
    caught: { 'sequence-crash': never('all of them are handled'), 'sequence-store': /it was not released yet/ },
  },
  {
    name: 'takes a released letter that failed for one that is still at work',
    mutate: () => ({ deadLetters: (store) => sequencesWith(store, () => ({ failed: () => Promise.resolve() })) }),
    caught: { 'sequence-fails-again': never('it is the first again') },
  },
  {
    name: 'throws a whole row away with its first letter',
    mutate: () => ({
      deadLetters: (store) => ({
        ...sequencesWith(store, () => ({})),
        async remove() {
          const { letters } = await store.scan({ limit: 1000 });
          await store.remove(letters.map(({ id }) => id));
        },
      }),
    }),
    caught: { 'sequence-purge': /deep.*equal/ },
  },
  {
    name: 'knows only the rows that its own process began',
    mutate() {
      const knowing = new WeakSet<DeadLetterStore>();
      return {
        settle(settlement, delivery, { deadLetters }) {
          if (settlement.kind === 'reject') knowing.add(deadLetters);
          return delivery.settle(settlement);
        },
        deadLetters: (store) =>
          sequencesWith(store, (sequences) => ({
            park: async (key, letter) => knowing.has(store) && sequences.park(key, letter),
          })),
      };
    },
    caught: { 'sequence-moves': never('there are 4 letters') },
  },
  {
    name: 'forgets what it was about to send when its answer was lost',
    mutate() {
      const asked = new Set<string>();
      return {
        deadLetters: (store) =>
          sequencesWith(store, (sequences) => ({
            async advance(key, release) {
              const next = asked.has(release.letter) ? undefined : await sequences.advance(key, release);
              if (next !== undefined) asked.add(release.letter);
              return next;
            },
          })),
      };
    },
    caught: { 'sequence-store': /its answer was lost: once more/ },
  },
  {
    name: 'looks whether there is a row, and puts a letter behind it later',
    mutate: () => ({
      deadLetters: (store) =>
        sequencesWith(store, () => ({
          async park({ key }, letter) {
            const { letters } = await store.scan({ limit: 1000 });
            if (!letters.some(({ message }) => message.key === key)) return false;
            await pause(2);
            await store.append({ ...letter(), sequence: 'waiting' });
            return true;
          },
        })),
    }),
    caught: { 'sequence-race': /it waits behind nobody/ },
  },
];

function sequencesWith(
  store: DeadLetterStore,
  change: (sequences: DeadLetterSequences) => Partial<DeadLetterSequences>,
): DeadLetterStore {
  const sequences = store.sequences as DeadLetterSequences;
  return {
    append: (letter) => store.append(letter),
    scan: (query) => store.scan(query),
    remove: (ids) => store.remove(ids),
    sequences: { ...sequences, ...change(sequences) },
  };
}
