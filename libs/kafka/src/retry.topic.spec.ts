import type { DeadLetter } from 'nestjs-eventing';
import { describe, expect, it } from 'vitest';
import { DEAD_LETTER_HEADER, decodeLetter, encodeLetter } from './dead-letter.codec.js';
import type { IncomingRecord } from './kafka.driver.js';
import { message } from './kafka.fixture.js';
import { RetryTopic, retryTargets } from './retry.topic.js';

function stored(headers: Readonly<Record<string, string | Uint8Array>>): IncomingRecord {
  const bytes = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Buffer.from(value as string)]),
  );
  return { offset: 7, time: 99, key: null, value: Buffer.from('v'), headers: bytes };
}

describe('the retry topic', () => {
  const topic = new RetryTopic('shop.retry');

  it('gives a message back to the one subscription it is for, as it was', () => {
    const { headers, ...rest } = topic.targeted(message('orders', { headers: { a: '1' }, time: 5 }), 'Receipt', 1_000);
    expect(rest).toMatchObject({ topic: 'shop.retry', time: 1_000 });
    expect(topic.read(stored(headers), retryTargets('Other', undefined))).toBeUndefined();
    const origin = topic.read(stored(headers), retryTargets('Receipt', undefined));
    expect(origin).toMatchObject({ channel: 'orders', time: 5, attempt: 1, notBefore: undefined });
    expect(Object.keys(origin?.headers ?? {})).toEqual(['a']);
  });

  it('keeps what one process deferred apart from others of the same name', () => {
    const mine = retryTargets('Cache', 'i1');
    expect(mine.all.has(retryTargets('Cache', 'i2').own)).toBe(false);
    expect(mine.all.has('Cache')).toBe(true);
  });

  it('does not trust what it reads', () => {
    const targets = retryTargets('Receipt', undefined);
    expect(topic.read(stored({}), targets)).toBeUndefined();
    expect(topic.read(stored({ 'eventing-target': 'Receipt' }), targets)).toBeUndefined();
    const base = { 'eventing-target': 'Receipt', 'eventing-channel': 'orders' };
    const odd = {
      'eventing-attempt': '-3',
      'eventing-not-before': '1e9',
      'eventing-time': 'soon',
      'eventing-position': '',
    };
    expect(topic.read(stored({ ...base, ...odd }), targets)).toMatchObject({
      attempt: 1,
      notBefore: undefined,
      time: 99,
    });
    expect(topic.read(stored({ ...base, 'eventing-channel': 'x'.repeat(600) }), targets)).toBeUndefined();
  });
});

describe('a dead letter on its way', () => {
  const letter: DeadLetter = {
    id: 'l1',
    service: 'shop',
    listener: 'Receipt',
    channel: 'orders',
    reason: 'failed',
    error: { name: 'TypeError', code: 'E_X', message: 'no', stack: 's'.repeat(9_000) },
    attempts: 5,
    firstFailedAt: 1,
    deadAt: 2,
    event: { name: 'orders.placed', version: 2, id: 'e1' },
    message: { key: 'k', headers: { a: Buffer.from([0xff]) }, body: Buffer.from('v'), time: 3, position: '0@4' },
  };

  it('comes back with its message as it was and all that is known, within bounds', () => {
    const headers = encodeLetter(letter);
    expect(headers[DEAD_LETTER_HEADER]?.length).toBeLessThan(16_384);
    const { error, ...read } = decodeLetter('l1', stored(headers));
    const { error: original, ...rest } = letter;
    expect(read).toEqual(rest);
    expect(error).toEqual({ ...original, stack: original.stack?.slice(0, 4_096) });
  });

  it('can be seen even if nobody can read what is known of it', () => {
    for (const json of [undefined, '', '{', 'null', '[1]', '{"error":5,"event":{"name":1},"time":"x"}']) {
      const seen = decodeLetter('l2', stored(json === undefined ? {} : { [DEAD_LETTER_HEADER]: json }));
      expect(seen).toMatchObject({ id: 'l2', service: '', message: { time: 99 } });
      expect(seen.event).toBeUndefined();
    }
  });
});
