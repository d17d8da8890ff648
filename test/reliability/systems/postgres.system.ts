import { Client } from 'pg';
import type { Unavailable } from '../../brokers/brokers.js';
import type { ChannelName } from '../channels.js';
import { expectationsOf, partOf, recordOf, startDatabase, type System } from './system.js';

interface EventRow {
  readonly channel: ChannelName;
  readonly id: string;
  readonly body: Buffer;
}

/** Rows in memory at one time. */
const PAGE = 2_000;

/** Events, outbox and inbox in one database. */
export async function postgresSystem(): Promise<System | Unavailable> {
  const database = await startDatabase();
  if (!database.available) return database;
  return {
    available: true,
    name: 'postgres',
    database,
    broker: '',
    parts: [partOf('postgres', database)],
    expectations: expectationsOf('outbox'),
    prepare: () => Promise.resolve(),
    close: () => database.close(),
    async published(found) {
      const client = new Client({ connectionString: database.access.connectionString });
      await client.connect();
      try {
        await client.query('BEGIN');
        await client.query(`DECLARE log NO SCROLL CURSOR FOR SELECT channel, id, body FROM eventing.events
          WHERE channel IN ('orders', 'payments') ORDER BY channel, partition, xid, position`);
        for (let rows: EventRow[] = [], first = true; first || rows.length > 0; first = false) {
          ({ rows } = await client.query<EventRow>(`FETCH ${PAGE} FROM log`));
          for (const { channel, id, body } of rows) found(recordOf(channel, String(body), id));
        }
      } finally {
        await client.end();
      }
    },
  };
}
