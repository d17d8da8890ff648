import { describe, expect, it } from 'vitest';
import { ADDRESSES_V1, ADDRESSES_V2, encoded } from './rabbitmq.addresses.js';

describe('addresses of RabbitMQ', () => {
  it('v2 encode each name by itself, as the documentation shows it', () => {
    expect(ADDRESSES_V2.exchange('amq.direct', 'my-routing_key/123')).toBe(
      '/exchanges/amq.direct/my-routing_key%2F123',
    );
    expect(ADDRESSES_V2.queue('orders:shop:Receipt')).toBe('/queues/orders%3Ashop%3AReceipt');
  });

  it('v1 take names as they are', () => {
    expect(ADDRESSES_V1.exchange('orders', 'orders')).toBe('/exchange/orders/orders');
    expect(ADDRESSES_V1.queue('orders:shop:Receipt')).toBe('/amq/queue/orders:shop:Receipt');
  });

  it('leave nothing but unreserved characters as they are', () => {
    const all = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code)).join('');
    expect(encoded(all).replaceAll(/%[0-9A-F]{2}/g, '')).toMatch(/^[A-Za-z0-9._~-]*$/);
    expect(decodeURIComponent(encoded(`${all}ü✓`))).toBe(`${all}ü✓`);
  });
});
