import { describe, expect, it } from 'vitest';
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
