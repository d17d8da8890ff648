import { randomUUID } from 'node:crypto';
import type { OutgoingMessage, ProviderFactory } from 'nestjs-eventing';
import { migrate } from 'nestjs-eventing/postgres';
import { Client, Pool, type PoolClient } from 'pg';
import { orderNumber, type OrderPlaced } from './order.event.js';
import { headersOf } from './postgres.twin.js';
import type { Tally } from './tally.js';

/** What the transactions are about. */
const ORDERS = `CREATE TABLE IF NOT EXISTS orders (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text NOT NULL,
  total int NOT NULL,
  customer text NOT NULL
)`;
/** An outbox with the columns and indexes of ours. */
const OUTBOX = `CREATE TABLE IF NOT EXISTS outbox_by_hand (LIKE eventing.outbox INCLUDING ALL)`;

/** A pool that has not connected yet, on a server that has all tables: ours and those of the twin. */
export async function poolOn(url: string, max: number): Promise<Pool> {
  await migrate({ connectionString: url });
  const client = new Client(url);
  await client.connect();
  for (const table of [ORDERS, OUTBOX]) await client.query(table);
  await client.end();
  const pool = new Pool({ connectionString: url, max });
  pool.on('error', () => undefined);
  return pool;
}

/** Nothing is left of a round before. */
export async function empty(pool: Pool): Promise<void> {
  for (const table of ['orders', 'eventing.outbox', 'outbox_by_hand', 'eventing.inbox'])
    await pool.query(`TRUNCATE ${table}`);
  await pool.query('CHECKPOINT');
}

type Run = (client: PoolClient, text: string, values: unknown[]) => Promise<unknown>;

/** As a statement is run without a thought, or prepared once a connection. */
export const runner = (prepared: boolean): Run =>
  prepared
    ? (client, text, values) => client.query({ name: text.slice(0, 60), text, values })
    : (client, text, values) => client.query(text, values);

export const storeOrder = (run: Run, client: PoolClient, { orderId, total, customer }: OrderPlaced): Promise<unknown> =>
  run(client, 'INSERT INTO orders (id, total, customer) VALUES ($1, $2, $3)', [orderId, total, customer.name]);

/** The second bare INSERT: the row that ours is. */
export function storeEvent(run: Run, client: PoolClient, order: OrderPlaced): Promise<unknown> {
  const id = randomUUID();
  return run(
    client,
    `INSERT INTO outbox_by_hand (service, provider, id, channel, key, headers, body, time, durable, recipient)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
    [
      ...['bench', 'default', id, 'orders', order.orderId, JSON.stringify(headersOf(id))],
      ...[Buffer.from(JSON.stringify(order)), Date.now(), true, null],
    ],
  );
}

/** Fails unless each of so many orders has its event, once. */
export async function checkStored(pool: Pool, outbox: string, events: number): Promise<void> {
  const { rows } = await pool.query<{ orders: number; stored: number; sum: string }>(
    `SELECT (SELECT count(*)::int FROM orders) AS orders, count(*)::int AS stored,
      sum((convert_from(body, 'UTF8')::json->>'total')::bigint) AS sum FROM ${outbox}`,
  );
  const [found] = rows;
  const sum = (events * (events - 1)) / 2;
  if (found?.orders !== events || found.stored !== events || Number(found.sum) !== sum)
    throw new Error(`of ${events} transactions ${found?.orders} stored an order and ${found?.stored} an event`);
}

/** Fills our outbox with events numbered from 0, each under an id that tells its number. The keys of a batch of 500 differ. */
export async function fillOutbox(pool: Pool, events: number): Promise<void> {
  await empty(pool);
  const example = orderNumber(0);
  await pool.query(
    `INSERT INTO eventing.outbox (service, provider, id, channel, key, headers, body, time, durable)
      SELECT 'bench', 'default', 'order-' || number, 'orders', 'order-' || number % 1000, $2,
        convert_to(json_build_object('orderId', 'order-' || number % 1000, 'total', number, 'customer', $3::json, 'lines', $4::json, 'at', $5::text, 'note', $6::text)::text, 'UTF8'),
        $7, true
      FROM generate_series(0, $1::int - 1) AS number`,
    [
      ...[events, JSON.stringify(headersOf(randomUUID())), JSON.stringify(example.customer)],
      ...[JSON.stringify(example.lines), example.at, example.note, Date.now()],
    ],
  );
  await pool.query('VACUUM ANALYZE eventing.outbox');
  await pool.query('CHECKPOINT');
}

interface StoredRow {
  readonly position: string;
  readonly id: string;
  readonly channel: string;
  readonly key: string | null;
  readonly headers: string;
  readonly body: Buffer;
  readonly time: string;
}

/** Reads, publishes, deletes; until there is nothing left. */
export async function relayByHand(
  pool: Pool,
  batch: number,
  publish: (messages: readonly OutgoingMessage[]) => Promise<unknown>,
): Promise<void> {
  for (;;) {
    const { rows } = await pool.query<StoredRow>({
      name: 'read',
      text: `SELECT position, id, channel, key, headers, body, time FROM eventing.outbox
        WHERE service = 'bench' AND provider = 'default' AND state = 'waiting' ORDER BY position LIMIT $1`,
      values: [batch],
    });
    if (rows.length === 0) return;
    await publish(
      rows.map(({ id, channel, key, headers, body, time }) => ({
        ...{ id, channel, key: key ?? undefined, headers: JSON.parse(headers) as Record<string, string>, body },
        ...{ time: Number(time), durable: true },
      })),
    );
    await pool.query({
      name: 'delete',
      text: 'DELETE FROM eventing.outbox WHERE position = ANY ($1::text::bigint[])',
      values: [`{${rows.map(({ position }) => position).join(',')}}`],
    });
  }
}

/** A provider of which every message that the broker has taken is counted. */
export function counted(factory: ProviderFactory, tally: Tally): ProviderFactory {
  return {
    kind: factory.kind,
    create(context) {
      const provider = factory.create(context);
      const publish = provider.publish.bind(provider);
      provider.publish = async (messages) => {
        const failures = await publish(messages);
        if (failures[0] !== undefined) throw failures[0].error;
        for (const { id } of messages) tally.add(Number(id.slice('order-'.length)));
        return failures;
      };
      return provider;
    },
  };
}
