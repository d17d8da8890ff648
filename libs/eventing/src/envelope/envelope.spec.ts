import { describe, expect, it } from 'vitest';
import type { WireAttributes } from '../wire/wire-format.js';
import { AbortSource, Envelope } from './envelope.js';

const attributes: WireAttributes = {
  id: 'e1',
  name: 'orders.placed',
  version: 2,
  source: '/shop',
  time: 1,
  key: 'k',
  correlationId: 'c',
  causationId: 'd',
  notBefore: 5,
  expiresAt: 9,
};

describe('Envelope', () => {
  it('has every attribute of the wire, and says that nobody has tried to handle it', () => {
    const body = {};
    const envelope = new Envelope(attributes, body);
    expect(envelope).toMatchObject({ ...attributes, attempt: 0, isReplay: false });
    expect(envelope.body).toBe(body);
    expect(envelope.headers.size).toBe(0);
  });

  it('has a signal of its own where nobody can abort it, the same at each look', () => {
    const [one, two] = [new Envelope(attributes, {}), new Envelope(attributes, {})];
    expect(one.signal.aborted).toBe(false);
    expect(one.signal).toBe(one.signal);
    expect(one.signal).not.toBe(two.signal);
  });

  it('aborts its signal, whether anybody has looked at it before or not, with the first reason', () => {
    const source = new AbortSource();
    const [early, late] = [1, 2].map(() => new Envelope(attributes, {}, undefined, 1, false, source)) as [
      Envelope,
      Envelope,
    ];
    const { signal } = early;
    expect(signal.aborted).toBe(false);
    source.abort(new Error('first'));
    source.abort(new Error('second'));
    for (const seen of [signal, late.signal]) expect(seen.reason).toMatchObject({ message: 'first' });
    const unseen = new AbortSource();
    unseen.abort(new Error('unseen'));
    expect(new Envelope(attributes, {}, undefined, 1, false, unseen).signal.reason).toMatchObject({
      message: 'unseen',
    });
  });
});
