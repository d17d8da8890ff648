import { drizzle } from 'drizzle-orm/node-postgres';
import { sql } from 'drizzle-orm';
import { pgTable, text } from 'drizzle-orm/pg-core';
import { Event, type EventManager } from 'nestjs-eventing';
import { fromDrizzle, fromTypeOrm, type Outbox } from 'nestjs-eventing/postgres';
import type { DataSource } from 'typeorm';

@Event({ name: 'orders.placed', channel: 'orders', key: 'id' })
class OrderPlaced {
  id!: string;
}
class Order {
  id!: string;
}
const orders = pgTable('orders', { id: text() });

export async function place(dataSource: DataSource, outbox: Outbox, events: EventManager, order: Order): Promise<void> {
  const db = drizzle('postgres://localhost/shop');
  // the snippet
}
