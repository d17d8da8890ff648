import { describe, expect, it } from 'vitest';
import type { ConsumeMessage } from 'amqplib';
import { AckWindow } from './ack.window.js';
import { DONE, OPEN, RabbitDelivery } from './rabbit.delivery.js';

function setUp(count: number) {
  const acks: string[] = [];
  const outstanding = new Set<number>();
  const window = new AckWindow({
    ack({ fields: { deliveryTag } }, allUpTo) {
      // As the broker: it closes the channel for a tag that it does not know any more.
      if (!outstanding.has(deliveryTag)) throw new Error(`unknown delivery tag ${deliveryTag}`);
      acks.push(`${deliveryTag}${allUpTo === true ? '+' : ''}`);
      for (const tag of [...outstanding]) if (tag === deliveryTag || (allUpTo === true && tag < deliveryTag)) outstanding.delete(tag); // prettier-ignore
    },
  });
  const owner = { queue: 'q', channel: 'c', accepted: () => undefined, settleElse: () => Promise.resolve() };
  const deliveries = Array.from({ length: count }, (_, index) => {
    const fields = { deliveryTag: index + 1, redelivered: false, exchange: '', routingKey: 'c', consumerTag: 't' };
    const properties = { headers: {} } as ConsumeMessage['properties'];
    const delivery = new RabbitDelivery(owner, { fields, properties, content: Buffer.alloc(0) }, { now: () => 0 });
    window.add(delivery);
    outstanding.add(index + 1);
    return delivery;
  });
  const done = (...tags: number[]): void => {
    for (const tag of tags) {
      const delivery = deliveries[tag - 1] as RabbitDelivery;
      delivery.state = DONE;
      window.done(delivery);
    }
  };
  return { window, acks, outstanding, deliveries, done };
}

describe('what was settled', () => {
  it('is acknowledged in one frame as far as nothing is missing, and alone beyond', () => {
    const { window, acks, outstanding, done } = setUp(8);
    done(2, 1, 3, 6, 5);
    window.flush();
    expect(acks).toEqual(['3+', '6', '5']);
    done(4);
    window.flush();
    done(7, 8);
    window.flush();
    expect(acks.slice(3)).toEqual(['4+', '8+']);
    expect(outstanding.size).toBe(0);
    window.flush();
    expect(acks).toHaveLength(5);
    expect(window.head).toBeUndefined();
  });

  it('never takes along what is not settled, whatever the order', () => {
    for (let round = 0; round < 60; round++) {
      const count = 1 + Math.floor(Math.random() * 40);
      const { window, outstanding, deliveries, done } = setUp(count);
      const tags = Array.from({ length: count }, (_, index) => index + 1).sort(() => Math.random() - 0.5);
      for (const tag of tags) {
        done(tag);
        if (Math.random() < 0.4) window.flush();
        for (const delivery of deliveries) if (delivery.state === OPEN) expect(outstanding).toContain(delivery.tag);
      }
      window.flush();
      expect(outstanding.size).toBe(0);
    }
  });
});
