import { describe, expect, it } from 'vitest';
import { decodeRenewal, encodeRenewal } from './kafkajs.renewal.js';

describe('the renewal of a transactional id', () => {
  it('names the epoch that it is for', () => {
    const body = encodeRenewal('shop.A:orders-0', 60_000, { producerId: '258', producerEpoch: 7 });
    const id = [...Buffer.from('shop.A:orders-0')];
    expect([...body]).toEqual([0, 16, ...id, 0, 0, 0xea, 0x60, 0, 0, 0, 0, 0, 0, 1, 2, 0, 7, 0]);
  });

  it('has the next one in its answer, or what is against it', async () => {
    const answer = (code: number): Buffer => Buffer.from([0, 0, 0, 0, 0, 0, code, 0, 0, 0, 0, 0, 0, 1, 2, 0, 8, 0]);
    expect(await decodeRenewal(answer(0), 'a')).toEqual({ producerId: '258', producerEpoch: 8 });
    await expect(decodeRenewal(answer(90), 'a')).rejects.toMatchObject({ type: 'PRODUCER_FENCED' });
  });
});
