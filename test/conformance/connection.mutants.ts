import type { ProviderContext, PublishFailure } from 'nestjs-eventing';
import { type MutantPlan, never } from './mutant.plan.js';
import type { Mutation } from './mutant.provider.js';
import { refused } from './publish.mutants.js';

/** Wrong while the broker is away. */
export const connectionMutants: readonly MutantPlan[] = [
  {
    name: 'refuses at once while the broker is away',
    mutate: watching((line) => ({
      publish: async (messages, provider) => (line.away ? messages.map(refused) : provider.publish(messages)),
    })),
    caught: { reconnect: /an answer while the broker was away/ },
  },
  {
    name: 'forgets what waits for the broker',
    mutate: watching((line) => ({
      publish: (messages, provider) =>
        line.away ? new Promise<PublishFailure[]>(() => undefined) : provider.publish(messages),
    })),
    caught: { reconnect: never('every send has its answer') },
  },
  {
    name: 'stores in reverse what waited for the broker',
    mutate: watching((line) => ({
      publish: (messages, provider) => provider.publish(line.away ? [...messages].reverse() : messages),
    })),
    caught: { reconnect: /was handled after/ },
  },
  {
    name: 'does not subscribe again',
    mutate: watching((line) => ({
      deliver: (delivery, subscriber) => {
        if (!line.wasAway) subscriber.deliver(delivery);
      },
    })),
    caught: { reconnect: never('all are handled') },
  },
  {
    name: 'does not tell that the broker is away',
    mutate: () => ({
      context: (context) => ({
        ...context,
        onStatus: (status, cause) => (status === 'disconnected' ? undefined : context.onStatus(status, cause)),
      }),
    }),
    caught: { readiness: never('it is noticed') },
  },
  {
    name: 'does not tell that the broker is back',
    mutate: watching((line) => ({
      context: (context) => ({
        ...context,
        onStatus: (status, cause) => {
          line.wasAway ||= status === 'disconnected';
          if (status === 'disconnected' || !line.wasAway) context.onStatus(status, cause);
        },
      }),
    })),
    caught: { readiness: never('it is ready again') },
  },
  {
    name: 'drops what is rejected while the broker is away',
    mutate: watching((line) => {
      const seen = new Set<string>();
      return {
        settle: (settlement, delivery) =>
          settlement.kind === 'reject' && line.away ? Promise.resolve() : delivery.settle(settlement),
        deliver: (delivery, subscriber) => {
          if (seen.size < seen.add(delivery.position).size) subscriber.deliver(delivery);
          else void delivery.settle({ kind: 'accept' });
        },
      };
    }),
    caught: { 'dead-letter-while-away': never('it is a dead letter') },
  },
  {
    name: 'never ends stop() while the broker is away',
    mutate: watching((line) => ({
      stop: (provider) => (line.away ? new Promise<void>(() => undefined) : provider.stop()),
    })),
    caught: { 'stop-while-away': /default \(.*\) did not close within/ },
  },
];

/** What a provider knows of its connection. */
interface Line {
  away: boolean;
  wasAway: boolean;
}

function watching(mutate: (line: Line) => Mutation): () => Mutation {
  return () => {
    const line = { away: false, wasAway: false };
    const context = (given: ProviderContext): ProviderContext => ({
      ...given,
      onStatus: (status, cause) => {
        line.away = status === 'disconnected';
        line.wasAway ||= line.away;
        given.onStatus(status, cause);
      },
    });
    return { context, ...mutate(line) };
  };
}
