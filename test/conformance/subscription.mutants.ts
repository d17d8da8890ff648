import { type MutantPlan, never } from './mutant.plan.js';

/** Wrong about who gets what, and from where. */
export const subscriptionMutants: readonly MutantPlan[] = [
  {
    name: 'lets all listeners of a service share one queue',
    mutate: () => ({ subscription: (subscription) => ({ ...subscription, name: 'the-only-one' }) }),
    caught: { copies: never('three copies arrive') },
  },
  {
    name: 'lets services share the queue of a name',
    mutate: () => ({ context: (context) => ({ ...context, service: 'everybody' }) }),
    caught: { copies: never('three copies arrive') },
  },
  {
    name: 'lets processes share what is per process',
    mutate: () => ({ subscription: (subscription) => ({ ...subscription, perProcess: false }) }),
    caught: { 'per-process': never('both have all') },
  },
  {
    name: 'keeps the queue of a process that ended',
    mutate: () => ({
      subscription: (subscription, { instance }) =>
        subscription.perProcess
          ? { ...subscription, name: `${subscription.name}-${instance}`, perProcess: false, durable: true }
          : subscription,
    }),
    caught: { 'per-process': /after its return/, 'per-process-remains': never('nothing is left') },
  },
  {
    name: 'gives each instance of a listener a copy',
    mutate: () => ({
      subscription: (subscription, { instance }) => ({ ...subscription, name: `${subscription.name}-${instance}` }),
    }),
    caught: { competing: /more than once/ },
  },
  {
    name: 'reads the first channel of a subscription only',
    mutate: () => ({
      subscription: (subscription) => ({ ...subscription, channels: subscription.channels.slice(0, 1) }),
    }),
    caught: {
      'shared-group': never('all are handled \\(60 of 120'),
      'uneven-group': never('all are handled \\(60 of 120'),
    },
  },
  {
    name: 'forgets durable subscriptions',
    mutate: () => ({ subscription: (subscription) => ({ ...subscription, durable: false }) }),
    caught: {
      durable: never('all are handled \\(60 of 90'),
      'first-subscription-kept': never('the later two'),
      'from-is-for-the-first-time': /deliveries: /,
      'gap-and-crash': never('what was not settled'),
    },
  },
  {
    name: 'keeps subscriptions that are not durable',
    mutate: () => ({ subscription: (subscription) => ({ ...subscription, durable: true }) }),
    caught: { 'not-durable': /came that should not/ },
  },
  {
    name: 'begins with the earliest',
    mutate: () => ({ subscription: (subscription) => ({ ...subscription, from: 'earliest' }) }),
    caught: {
      'from-first-subscription': /deliveries: /,
      'from-time': /deliveries: /,
      'from-positions': /deliveries: /,
      'per-process': /what one got/,
    },
  },
  {
    name: 'begins with the latest',
    mutate: () => ({ subscription: (subscription) => ({ ...subscription, from: 'first-subscription' }) }),
    caught: {
      'from-earliest': never('40 arrive'),
      'from-time': never('20 arrive'),
      'from-positions': never('60 arrive'),
    },
  },
  {
    name: 'makes channels that it should only look for',
    mutate: () => ({ context: (context) => ({ ...context, topology: 'create' }) }),
    caught: { 'topology-check': /start\(\) gave/ },
  },
  {
    name: 'fails when it is stopped again',
    mutate() {
      const stopped = new Set<unknown>();
      return {
        stop: async (provider) => {
          if (stopped.size === stopped.add(provider).size) throw new Error('stopped already');
          await provider.stop();
        },
      };
    },
    caught: { 'stop-anytime': /stopped already/ },
  },
  {
    name: 'lets sources go without waiting for revoked()',
    mutate: () => ({
      revoked: (sources, subscriber) => {
        void subscriber.revoked(sources);
        return Promise.resolve();
      },
    }),
    caught: { revoked: /before the old one let go/ },
  },
  {
    name: 'ignores the window',
    mutate: () => ({ subscription: (subscription) => ({ ...subscription, window: subscription.window * 4 }) }),
    caught: { window: /more than the window/, 'window-gap': /while the first is not settled/ },
  },
  {
    name: 'does not pause',
    mutate: () => ({
      handle: (handle) => ({
        pause: () => undefined,
        resume: () => handle.resume(),
        lag: () => handle.lag(),
        stop: () => handle.stop(),
      }),
    }),
    caught: { pause: /while it is paused/ },
  },
  {
    name: 'counts what it has delivered as settled',
    mutate() {
      let open = 0;
      return {
        deliver: (delivery, subscriber) => {
          open++;
          subscriber.deliver(delivery);
        },
        handle: (handle) => ({
          pause: () => handle.pause(),
          resume: () => handle.resume(),
          lag: async () => Math.max(0, (await handle.lag()) - open),
          stop: () => handle.stop(),
        }),
      };
    },
    caught: { lag: never('all are counted') },
  },
  {
    name: 'does not resume',
    mutate: () => ({
      handle: (handle) => ({
        pause: () => handle.pause(),
        resume: () => undefined,
        lag: () => handle.lag(),
        stop: () => handle.stop(),
      }),
    }),
    caught: { pause: never('the rest arrives'), 'stop-and-resume': never('it stops again') },
  },
  {
    name: 'never ends stop() where it never connected',
    mutate() {
      const connected = new Set<unknown>();
      return {
        start: (provider, channels) => provider.start(channels).then(() => void connected.add(provider)),
        stop: (provider) => (connected.has(provider) ? provider.stop() : new Promise<void>(() => undefined)),
      };
    },
    caught: { 'away-too-long': never('it is refused') },
  },
];
