import { EventingError, type HeaderValue, type OutgoingMessage } from 'nestjs-eventing';
import { setTimeout as pause } from 'node:timers/promises';
import { type MutantPlan, never } from './mutant.plan.js';

/** Wrong on the way in. */
export const publishMutants: readonly MutantPlan[] = [
  {
    name: 'drops every 100th message',
    mutate() {
      let count = 0;
      return { publish: (messages, provider) => provider.publish(messages.filter(() => ++count % 100 !== 0)) };
    },
    caught: {
      window: never('all are delivered \\(\\d+ of 3000'),
      'key-order': never('all are handled \\(\\d+ of 900'),
    },
  },
  {
    name: 'stores the messages of a batch in reverse',
    mutate: () => ({ publish: (messages, provider) => provider.publish([...messages].reverse()) }),
    caught: {
      'key-order': /was handled after/,
      'key-order-across-types': /was handled after/,
      'call-order': /was handled after/,
      'overlapping-publishes': /deep.*equal/,
    },
  },
  {
    name: 'loses users’ headers',
    mutate: () => ({ publish: (messages, provider) => provider.publish(messages.map(without(/^session$/))) }),
    caught: { unchanged: /headers of/, 'session-header': /'none'/ },
  },
  {
    name: 'loses attributes of the envelope',
    mutate: () => ({
      publish: (messages, provider) => provider.publish(messages.map(without(/notbefore|expirytime/))),
    }),
    caught: { 'not-before': /deep.*equal/, expired: never('it is a dead letter') },
  },
  {
    name: 'makes text of header bytes that are none',
    mutate: () => ({
      publish: (messages, provider) =>
        provider.publish(messages.map((message) => ({ ...message, headers: texts(message) }))),
    }),
    caught: { 'foreign-header': /deep.*equal/, unchanged: /headers of/ },
  },
  {
    name: 'takes an empty key for none',
    mutate: () => ({
      publish: (messages, provider) =>
        provider.publish(messages.map((one) => ({ ...one, key: one.key === '' ? undefined : one.key }))),
    }),
    caught: { unchanged: /the key ""/ },
  },
  {
    name: 'says that it takes bodies that it does not take',
    mutate: () => ({ abilities: (abilities) => ({ ...abilities, largestMessage: abilities.largestMessage + 1 }) }),
    caught: { 'largest-message': /bytes; the in-memory broker takes/ },
  },
  {
    name: 'swallows publish failures',
    mutate: () => ({ publish: (messages, provider) => provider.publish(messages).then(() => []) }),
    caught: { 'publish-failure': /the send of/ },
  },
  {
    name: 'fails a whole batch for one message',
    mutate: () => ({
      publish: async (messages, provider) => {
        const [failure] = await provider.publish(messages);
        return failure === undefined ? [] : messages.map((_, index) => ({ ...failure, index }));
      },
    }),
    caught: { 'publish-failure': /the send of/ },
  },
  {
    name: 'takes no more at once than fits into one request',
    mutate: () => ({
      publish: async (messages, provider) =>
        messages.reduce((sum, { body }) => sum + body.byteLength, 0) > 2 ** 21
          ? messages.map(refused)
          : provider.publish(messages),
    }),
    caught: { 'large-batch': /refused/ },
  },
  {
    name: 'publishes only while no listener is at work',
    mutate() {
      let atWork = 0;
      return {
        deliver: (delivery, subscriber) => {
          atWork++;
          subscriber.deliver(delivery);
        },
        settle: (settlement, delivery) => {
          atWork--;
          return delivery.settle(settlement);
        },
        publish: async (messages, provider) => {
          while (atWork > 0) await pause(5);
          return provider.publish(messages);
        },
      };
    },
    caught: { 'listener-sends': never('all are booked') },
  },
  {
    name: 'sends redriven letters to everybody',
    mutate: () => ({
      publish: (messages, provider) => provider.publish(messages.map(({ to: _to, ...message }) => message)),
    }),
    caught: { redrive: /deep.*equal/, 'send-to-one': /the late one|the other one/ },
  },
  {
    name: 'sends to one subscription only while somebody is there',
    mutate() {
      const there = new Map<string, number>();
      const count = (name: string, by: number): unknown => there.set(name, (there.get(name) ?? 0) + by);
      return {
        subscribed: (name) => void count(name, 1),
        unsubscribed: (name) => void count(name, -1),
        publish: (messages, provider) => {
          const reachable = (to: string): boolean =>
            [...there].some(([name, members]) => name.endsWith(`.${to}`) && members > 0);
          return provider.publish(messages.filter(({ to }) => to === undefined || reachable(to)));
        },
      };
    },
    caught: { 'send-to-one-away': never('it arrives') },
  },
  {
    name: 'publishes only to the channels of its start',
    mutate() {
      const known = new Set<string>();
      return {
        start: (provider, channels) => {
          for (const { name } of channels) known.add(name);
          return provider.start(channels);
        },
        publish: async (messages, provider) =>
          messages.every(({ channel }) => known.has(channel)) ? provider.publish(messages) : messages.map(refused),
      };
    },
    caught: { 'channel-unknown-at-start': /refused/ },
  },
  {
    name: 'confirms before it stores, and forgets the rest when it stops',
    mutate() {
      let stopped = false;
      return {
        publish: async (messages, provider) => {
          void pause(20).then(() => (stopped ? undefined : provider.publish(messages)));
          return [];
        },
        stop: (provider) => {
          stopped = true;
          return provider.stop();
        },
      };
    },
    caught: { 'stop-publishes': never('all are handled \\(0 of 500') },
  },
  {
    name: 'waits for the broker without end',
    mutate: () => ({ context: (context) => ({ ...context, publishTimeout: 3_600_000 }) }),
    caught: { 'publish-timeout': never('all are rejected') },
  },
  {
    name: 'rejects what it publishes later all the same',
    mutate: () => ({
      context: (context) => ({ ...context, publishTimeout: 3_600_000 }),
      publish: async (messages, provider) => {
        const stored = provider.publish(messages);
        return Promise.race([stored, pause(300).then(() => messages.map(refused))]);
      },
    }),
    caught: { 'publish-timeout': /though its rejection was certain/ },
  },
  {
    name: 'gives up at start when the broker is away',
    mutate: () => ({
      start: (provider, channels) =>
        Promise.race([
          provider.start(channels),
          pause(20).then(() => Promise.reject(new EventingError('EVT_CONNECTION', 'refused'))),
        ]),
    }),
    caught: { 'away-at-start': /refused/ },
  },
];

/** The failure of a message that is not stored. */
export function refused(
  _message: OutgoingMessage,
  index: number,
): { index: number; error: Error; indeterminate: boolean } {
  return { index, error: new EventingError('EVT_PUBLISH_FAILED', 'refused'), indeterminate: false };
}

function without(names: RegExp): (message: OutgoingMessage) => OutgoingMessage {
  return (message) => ({
    ...message,
    headers: Object.fromEntries(Object.entries(message.headers).filter(([name]) => !names.test(name))),
  });
}

function texts({ headers }: OutgoingMessage): Record<string, HeaderValue> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Buffer.from(value as Uint8Array).toString()]),
  );
}
