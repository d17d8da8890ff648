import { describe, expect, it } from 'vitest';
import { Envelope } from '../envelope/envelope.js';
import { seeded } from '../kernel.fixture.js';
import type { OutgoingMessage } from '../provider/event-provider.js';
import { CallOrder } from './call.order.js';
import { PendingSend } from './pending.send.js';

const message = { body: new Uint8Array() } as OutgoingMessage;
const silent = (): void => undefined;

function send(key: string | undefined, id: string, channel = 'orders'): PendingSend {
  const envelope = new Envelope(
    {
      id,
      name: 'a',
      version: 1,
      source: '/shop',
      time: 0,
      key,
      correlationId: id,
      causationId: undefined,
      notBefore: undefined,
      expiresAt: undefined,
    },
    {},
  );
  return new PendingSend(envelope, channel, silent, silent);
}

function ordering() {
  const passed: string[] = [];
  const order = new CallOrder((done) => passed.push(done.envelope.id));
  const fill = (pending: PendingSend): void => {
    pending.message = message;
    order.fill(pending);
  };
  const reserve = (key: string | undefined, id: string, channel?: string): PendingSend => {
    const pending = send(key, id, channel);
    order.reserve(pending);
    return pending;
  };
  return { passed, order, fill, reserve };
}

describe('CallOrder', () => {
  it('passes on what was filled at once where nobody has a place', () => {
    const { passed, fill } = ordering();
    fill(send('k', '1'));
    fill(send(undefined, '2'));
    expect(passed).toEqual(['1', '2']);
  });

  it('holds what was filled early until those called before it are', () => {
    const { passed, fill, reserve } = ordering();
    const [one, two, three] = [reserve('k', '1'), reserve('k', '2'), reserve('k', '3')];
    fill(three);
    fill(two);
    expect(passed).toEqual([]);
    fill(one);
    expect(passed).toEqual(['1', '2', '3']);
  });

  it('holds a send that needed no place behind one that has one', () => {
    const { passed, fill, reserve } = ordering();
    const one = reserve('k', '1');
    fill(send('k', '2'));
    expect(passed).toEqual([]);
    fill(one);
    expect(passed).toEqual(['1', '2']);
  });

  it('does not hold other keys, other channels, or sends without a key', () => {
    const { passed, fill, reserve } = ordering();
    reserve('k', 'slow');
    reserve(undefined, 'slow too');
    fill(reserve('other', '1'));
    fill(reserve('k', '2', 'mail'));
    fill(reserve(undefined, '3'));
    fill(send(undefined, '4'));
    expect(passed).toEqual(['1', '2', '3', '4']);
  });

  it('goes on when a place is given up', () => {
    const { passed, order, fill, reserve } = ordering();
    const [one, two, three, four] = [reserve('k', '1'), reserve('k', '2'), reserve('k', '3'), reserve('k', '4')];
    order.cancel(two);
    fill(three);
    order.cancel(one);
    expect(passed).toEqual(['3']);
    fill(four);
    expect(passed).toEqual(['3', '4']);
  });

  it('begins anew when a lane has run dry', () => {
    const { passed, order, fill, reserve } = ordering();
    order.cancel(reserve('k', '1'));
    fill(send('k', '2'));
    fill(reserve('k', '3'));
    expect(passed).toEqual(['2', '3']);
  });

  it.each(Array.from({ length: 20 }, (_, index) => index + 1))(
    'is the order of the calls, whatever happens when (seed %i)',
    (seed) => {
      const { passed, order, fill, reserve } = ordering();
      const random = seeded(seed);
      const pick = (below: number): number => Math.floor(random() * below);
      const keys = ['a', 'b', 'c', undefined];
      const open: PendingSend[] = [];
      const called = new Map<string | undefined, string[]>(keys.map((key) => [key, []]));
      const cancelled = new Set<string>();
      for (let number = 0; number < 300 || open.length > 0;) {
        if (number < 300 && (random() < 0.5 || open.length === 0)) {
          const key = keys[pick(keys.length)];
          const id = `${key}-${number++}`;
          called.get(key)?.push(id);
          if (random() < 0.3) fill(send(key, id));
          else open.push(reserve(key, id));
          continue;
        }
        const [pending] = open.splice(pick(open.length), 1) as [PendingSend];
        if (random() < 0.2) {
          cancelled.add(pending.envelope.id);
          order.cancel(pending);
        } else fill(pending);
      }
      for (const [key, ids] of called) {
        const expected = ids.filter((id) => !cancelled.has(id));
        const got = passed.filter((id) => ids.includes(id));
        expect(key === undefined ? [...got].sort() : got).toEqual(key === undefined ? [...expected].sort() : expected);
      }
    },
  );
});
