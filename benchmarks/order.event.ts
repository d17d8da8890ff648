import { Event } from 'nestjs-eventing';

/** About 200 bytes of JSON with nesting: what most events look like. */
@Event({ name: 'orders.placed', channel: 'orders', key: 'orderId' })
export class OrderPlaced {
  orderId!: string;
  total!: number;
  customer!: { id: string; name: string };
  lines!: { sku: string; count: number }[];
  at!: string;
  note!: string;
}

export function orderNumber(index: number, keys = 1000): OrderPlaced {
  return Object.assign(new OrderPlaced(), {
    orderId: `order-${index % keys}`,
    total: index,
    customer: { id: 'c-1', name: 'Ada Lovelace' },
    lines: [
      { sku: 'abc', count: 2 },
      { sku: 'def', count: 1 },
    ],
    at: '2026-11-20T10:00:00.000Z',
    note: 'leave it at the door, please',
  });
}
