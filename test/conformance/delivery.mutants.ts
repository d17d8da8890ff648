import type { Delivery, Subscriber } from 'nestjs-eventing';
import { setTimeout as pause } from 'node:timers/promises';
import { copyOf } from './mutant.provider.js';
import { type MutantPlan, never } from './mutant.plan.js';

/** Wrong on the way out. */
export const deliveryMutants: readonly MutantPlan[] = [
  {
    name: 'spreads a key over the members of a group',
    mutate() {
      const groups = new Groups();
      let turn = 0;
      return {
        subscribed: groups.join,
        unsubscribed: groups.leave,
        deliver: (delivery, subscriber) => {
          const members = groups.around(subscriber);
          (members[turn++ % members.length] ?? subscriber).deliver(delivery);
        },
      };
    },
    caught: { 'one-at-a-time': /began in/, 'uneven-group': never('all are handled') },
  },
  {
    name: 'gives every 50th message to two members',
    mutate() {
      const groups = new Groups();
      let count = 0;
      return {
        subscribed: groups.join,
        unsubscribed: groups.leave,
        deliver: (delivery, subscriber) => {
          subscriber.deliver(delivery);
          const other = groups.around(subscriber).find((member) => member !== subscriber);
          if (++count % 50 === 0) other?.deliver(copyOf(delivery, { settle: () => undefined }));
        },
      };
    },
    caught: { competing: /more than once/, 'ten-thousand': /more than once/ },
  },
  {
    name: 'gives a message to another member after a while',
    mutate() {
      const groups = new Groups();
      const settled = new Set<string>();
      const id = ({ channel, position }: Delivery): string => `${channel}/${position}`;
      return {
        subscribed: groups.join,
        unsubscribed: groups.leave,
        settle: (settlement, delivery) => {
          settled.add(id(delivery));
          return delivery.settle(settlement);
        },
        deliver: (delivery, subscriber) => {
          subscriber.deliver(delivery);
          void pause(100).then(() => {
            const other = groups.around(subscriber).find((member) => member !== subscriber);
            if (!settled.has(id(delivery))) other?.deliver(delivery);
          });
        },
      };
    },
    caught: { 'slow-listener': /came more than once/ },
  },
  {
    name: 'has each member begin with what comes after it joined',
    mutate() {
      const groups = new Groups();
      const joined = new Map<Subscriber, number>();
      return {
        subscribed: (name, subscriber) => {
          groups.join(name, subscriber);
          // As if it took its time.
          joined.set(subscriber, Date.now() + 50);
        },
        unsubscribed: groups.leave,
        deliver: (delivery, subscriber) => {
          const isFirst = groups.around(subscriber)[0] === subscriber;
          if (isFirst || delivery.time >= (joined.get(subscriber) ?? Infinity)) subscriber.deliver(delivery);
          else void delivery.settle({ kind: 'accept' });
        },
      };
    },
    caught: { 'first-subscription-race': never('all are handled') },
  },
  {
    name: 'delivers everything twice',
    mutate: () => ({
      deliver: (delivery, subscriber) => {
        subscriber.deliver(delivery);
        subscriber.deliver(copyOf(delivery, { settle: () => undefined }));
      },
    }),
    caught: { copies: /came more than once/, 'shared-group': /came more than once/, release: /deep.*equal/ },
  },
  {
    name: 'forgets keys',
    mutate: () => ({ deliver: (delivery, subscriber) => subscriber.deliver(copyOf(delivery, { key: undefined })) }),
    caught: {
      'key-order': /was handled after|began in/,
      'retry-in-place': /deep.*equal/,
      unchanged: /did not arrive with its key/,
    },
  },
  {
    name: 'gives the time of delivery for that of sending',
    mutate: () => ({ deliver: (delivery, subscriber) => subscriber.deliver(copyOf(delivery, { time: Date.now() })) }),
    caught: { unchanged: /time of/ },
  },
  {
    name: 'never counts attempts',
    mutate: () => ({ deliver: (delivery, subscriber) => subscriber.deliver(copyOf(delivery, { attempt: 1 })) }),
    caught: {
      crash: /^attempt/,
      'crash-loop': never('it is a dead letter'),
      defer: /^attempt/,
      'defer-survives': /^attempt/,
      'retry-moved': /deep.*equal/,
    },
  },
  {
    name: 'counts an attempt for whatever a process had that died',
    mutate() {
      const times = new Map<string, number>();
      return {
        deliver: (delivery, subscriber) => {
          const place = `${delivery.source} ${delivery.position}`;
          const attempt = (times.get(place) ?? 0) + 1;
          times.set(place, attempt);
          subscriber.deliver(copyOf(delivery, { attempt }));
        },
      };
    },
    caught: { 'crash-loop-bystanders': /deep.*equal/ },
  },
  {
    name: 'reuses the buffer of a body',
    mutate() {
      const shared = Buffer.alloc(64);
      return {
        deliver: (delivery, subscriber) => {
          const { body } = delivery;
          shared.set(body.subarray(0, shared.byteLength));
          subscriber.deliver(copyOf(delivery, { body: shared.subarray(0, body.byteLength) }));
        },
      };
    },
    caught: { window: /are lost|came more than once|should not/ },
  },
  {
    name: 'settles each message before it is handled',
    mutate: () => ({
      deliver: (delivery, subscriber) => {
        void delivery.settle({ kind: 'accept' });
        subscriber.deliver(delivery);
      },
    }),
    caught: {
      crash: never('the other gets it'),
      'crash-and-restart': never('all are handled'),
      'crash-under-load': never('all are handled'),
      'gap-and-stop': never('what was not settled'),
      'gap-and-crash': never('what was not settled'),
      drain: never('the rest is handled'),
    },
  },
];

/** Who is in which group. */
class Groups {
  readonly #members = new Map<string, Subscriber[]>();

  readonly join = (name: string, subscriber: Subscriber): void =>
    void this.#members.set(name, [...(this.#members.get(name) ?? []), subscriber]);

  readonly leave = (name: string, subscriber: Subscriber): void =>
    void this.#members.set(
      name,
      (this.#members.get(name) ?? []).filter((member) => member !== subscriber),
    );

  around(subscriber: Subscriber): readonly Subscriber[] {
    return [...this.#members.values()].find((members) => members.includes(subscriber)) ?? [];
  }
}
