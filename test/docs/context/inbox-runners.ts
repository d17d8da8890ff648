import { drizzle } from 'drizzle-orm/node-postgres';
import { sql } from 'drizzle-orm';
import { Event, EventListener } from 'nestjs-eventing';
import {
  type Database,
  drizzleTransactions,
  type Outbox,
  pgTransactions,
  PostgresInbox,
  typeOrmTransactions,
} from 'nestjs-eventing/postgres';
import pg from 'pg';
import { DataSource } from 'typeorm';

@Event({ name: 'orders.placed', channel: 'orders', key: 'id' })
class OrderPlaced {
  id!: string;
}
class Charged {
  id!: string;
}

export function inboxes(database: () => Promise<Database>, outbox: Outbox): unknown[] {
  const dataSource = new DataSource({ type: 'postgres' });
  const pool = new pg.Pool();
  const db = drizzle(pool);
  // the snippet
  return [Charge, onPool, onDrizzle, outbox];
}
