import { describe, expect, it } from 'vitest';
import { DEAD_LETTER_HEADER, decodeDeadLetter, encodeDeadLetter } from './dead-letter.codec.js';
import type { DeadLetter } from './dead-letter.js';

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
    const headers = encodeDeadLetter(letter);
    expect(headers[DEAD_LETTER_HEADER]?.length).toBeLessThan(16_384);
    const { error, ...read } = decodeDeadLetter('l1', { headers, body: Buffer.from('v'), time: 99 });
    const { error: original, ...rest } = letter;
    expect(read).toEqual(rest);
    expect(error).toEqual({ ...original, stack: original.stack?.slice(0, 4_096) });
  });

  it('can be seen even if nobody can read what is known of it', () => {
    for (const json of [
      undefined,
      Buffer.from('{"time":0'),
      '',
      '{',
      'null',
      '[1]',
      '{"error":5,"event":{"name":1},"time":"x"}',
    ]) {
      const seen = decodeDeadLetter('l2', {
        headers: json === undefined ? {} : { [DEAD_LETTER_HEADER]: json },
        body: null,
        time: 99,
      });
      expect(seen).toMatchObject({ id: 'l2', service: '', message: { time: 99 } });
      expect(seen.event).toBeUndefined();
    }
  });
});
