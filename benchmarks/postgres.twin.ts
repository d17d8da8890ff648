import { PGlite } from '@electric-sql/pglite';
import { randomUUID } from 'node:crypto';
import { Pool } from 'pg';
import { orderNumber, type OrderPlaced } from './order.event.js';

/** A database as a hand-written queue needs it: statements by name, so that a server prepares them once. */
export interface BareDatabase {
  query<R>(name: string, text: string, values?: readonly unknown[]): Promise<readonly R[]>;
  close(): Promise<void>;
}

export function serverByHand(connectionString: string): BareDatabase {
  const pool = new Pool({ connectionString, max: 10 });
  // What is lost while it is idle is made anew.
  pool.on('error', () => undefined);
  return {
    query: async <R>(name: string, text: string, values: readonly unknown[] = []) =>
      (await pool.query({ name, text, values: [...values] })).rows as R[],
    close: () => pool.end(),
  };
}

/** With bytes as text in hexadecimal, as `embedded()` has them: PGlite's own way takes longer than all else. */
export async function embeddedByHand(dataDir: string): Promise<BareDatabase> {
  const BYTEA = 17;
  const pglite = await PGlite.create(dataDir, {
    parsers: { [BYTEA]: (text: string) => Buffer.from(text.slice(2), 'hex') },
    serializers: { [BYTEA]: (bytes: Buffer) => `\\x${bytes.toString('hex')}` },
  });
  return {
    query: async <R>(_name: string, text: string, values: readonly unknown[] = []) =>
      (await pglite.query<R>(text, [...values])).rows,
    close: () => pglite.close(),
  };
}

/** The headers that ours writes. */
export function headersOf(id: string): Record<string, string> {
  return {
    ce_specversion: '1.0',
    ce_id: id,
    ce_source: '/bench',
    ce_type: 'orders.placed',
    'content-type': 'application/json',
  };
}

interface Row {
  readonly number: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** Rows of one INSERT. */
export const INSERTED = 100;

/** A queue as one would write it for a single consumer group: the same columns and the same bytes as ours. */
export class QueueByHand {
  readonly #insert: string;
  readonly #lease: string;

  constructor(
    private readonly database: BareDatabase,
    private readonly name = 'queue_by_hand',
  ) {
    // Of the forms that we tried (a list of VALUES, an array for each column) the quickest, on a server and embedded.
    this.#insert = `INSERT INTO ${name} (channel, id, key, time, headers, body)
      SELECT channel, id, key, time, headers, convert_to(body, 'UTF8')
      FROM json_to_recordset($1::json) AS r (channel text, id text, key text, time bigint, headers json, body text)`;
    this.#lease = `UPDATE ${name} SET leased_until = now() + interval '30 seconds' WHERE number IN (
        SELECT number FROM ${name} WHERE leased_until < now() ORDER BY number LIMIT $1 FOR UPDATE SKIP LOCKED
      ) RETURNING number, headers, body`;
  }

  async create(): Promise<void> {
    await this.database.query(
      'create',
      `CREATE TABLE IF NOT EXISTS ${this.name} (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        channel text NOT NULL,
        id text NOT NULL,
        key text,
        time bigint NOT NULL,
        headers json NOT NULL,
        body bytea NOT NULL,
        leased_until timestamptz NOT NULL DEFAULT '-infinity'
      )`,
    );
  }

  /** Empty, with the events numbered from 0 where some are asked for; settled, so that what filled it is no part of the measure. */
  async fill(events = 0): Promise<void> {
    await this.database.query('truncate', `TRUNCATE ${this.name}`);
    for (let first = 0; first < events; first += INSERTED) await this.insert(first);
    await this.database.query('analyze', `VACUUM ANALYZE ${this.name}`);
    await this.database.query('checkpoint', 'CHECKPOINT');
  }

  /** As many as one INSERT takes, from this number on. */
  async insert(first: number): Promise<void> {
    const rows = Array.from({ length: INSERTED }, (_, index) => {
      const order = orderNumber(first + index);
      const id = randomUUID();
      const { orderId: key } = order;
      return { channel: 'orders', id, key, time: Date.now(), headers: headersOf(id), body: JSON.stringify(order) };
    });
    await this.database.query('insert', this.#insert, [JSON.stringify(rows)]);
  }

  /** Leases a batch, handles it, deletes it; until there is nothing left. */
  async drain(batch: number, handle: (order: OrderPlaced) => void): Promise<void> {
    for (;;) {
      const rows = await this.database.query<Row>('lease', this.#lease, [batch]);
      if (rows.length === 0) return;
      for (const { headers, body } of rows)
        if (headers['ce_type'] === 'orders.placed') handle(JSON.parse(body.toString()) as OrderPlaced);
      const numbers = `{${rows.map(({ number }) => number).join(',')}}`;
      await this.database.query('ack', `DELETE FROM ${this.name} WHERE number = ANY ($1::text::bigint[])`, [numbers]);
    }
  }
}
