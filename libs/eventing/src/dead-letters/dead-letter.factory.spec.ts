import { describe, expect, it } from 'vitest';
import { RejectEvent } from '../errors/eventing.error.js';
import { BINDING, ce, ScriptedDelivery } from '../scripted.provider.fixture.js';
import { Failure } from '../receive/failure.js';
import { cloudEvents } from '../wire/cloudevents.wire-format.js';
import type { DeadLetter } from './dead-letter.js';
import { deadLetterOf } from './dead-letter.factory.js';

const delivery = new ScriptedDelivery(
  'orders',
  { key: 'k', headers: ce('orders.placed'), body: Buffer.from('{'), time: 5 },
  42,
);

function letter(parts: Partial<Parameters<typeof deadLetterOf>[0]> = {}): DeadLetter {
  return deadLetterOf({
    service: 'shop',
    listener: 'SendReceipt',
    delivery,
    message: cloudEvents.decode(delivery, BINDING),
    failure: Failure.thrown(new Error('no')),
    attempts: 3,
    firstFailedAt: 10,
    now: 20,
    ...parts,
  });
}

describe('a dead letter', () => {
  it('has the message as it was received, and all that is known about the failure', () => {
    expect(letter()).toEqual({
      id: expect.stringMatching(/^[\w-]{22}$/),
      service: 'shop',
      listener: 'SendReceipt',
      channel: 'orders',
      reason: 'failed',
      error: { name: 'Error', message: 'no', stack: expect.stringContaining('Error: no') },
      attempts: 3,
      firstFailedAt: 10,
      deadAt: 20,
      event: { name: 'orders.placed', version: 1, id: 'e1' },
      message: { key: 'k', headers: delivery.headers, body: delivery.body, time: 5, position: '0@42' },
    });
    expect(letter().message.body).toBe(delivery.body);
  });

  it('has the code of an error of ours', () => {
    expect(letter({ failure: Failure.thrown(new RejectEvent('never')) }).error).toMatchObject({
      code: 'EVT_REJECTED',
      name: 'RejectEvent',
    });
  });

  it('names no event where none could be read', () => {
    expect(letter({ message: undefined })).not.toHaveProperty('event');
  });

  it('has an id that no command line takes for a flag', () => {
    const ids = Array.from(
      { length: 1000 },
      (_, position) => letter({ delivery: new ScriptedDelivery('orders', {}, position) }).id,
    );
    expect(ids.filter((id) => !/^\w[\w-]{21}$/.test(id))).toEqual([]);
    expect(new Set(ids).size).toBe(1000);
  });

  it('has the same id whenever the same message fails the same listener, and no other', () => {
    const ids = [
      letter(),
      letter({ service: 'mail' }),
      letter({ listener: 'Other' }),
      letter({ delivery: new ScriptedDelivery('mail', {}, 42) }),
      letter({ delivery: new ScriptedDelivery('orders', {}, 43) }),
    ].map(({ id }) => id);
    expect(new Set(ids).size).toBe(5);
    expect(letter({ attempts: 9, now: 99, failure: Failure.thrown('other') }).id).toBe(ids[0]);
  });

  it('is bounded, whatever the error and the message say', () => {
    const error = new Error('m'.repeat(50_000));
    error.stack = 's'.repeat(50_000);
    const long = new ScriptedDelivery('orders', { headers: ce('n'.repeat(50_000), { ce_id: 'i'.repeat(50_000) }) }, 1);
    const given = letter({ failure: Failure.thrown(error), message: cloudEvents.decode(long, BINDING) });
    expect([given.error.message.length, given.error.stack?.length]).toEqual([2000, 4000]);
    expect([given.event?.name.length, given.event?.id.length]).toEqual([200, 200]);
  });

  it('can be made of any error, however its fields were tampered with', () => {
    const strange = Object.assign(new Error('x'), { message: undefined, stack: 7, name: null });
    expect(letter({ failure: Failure.thrown(strange) }).error).toEqual({ name: 'null', message: 'undefined' });
  });
});
