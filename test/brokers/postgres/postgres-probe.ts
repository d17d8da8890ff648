import { Client } from 'pg';
import type { PostgresAccess } from './postgres-options.js';

const TIMEOUT = 2_000;

/** The version that a server tells. An open port is not enough: it is open before anybody may connect. */
export async function postgresVersion(access: Omit<PostgresAccess, 'version'>): Promise<string> {
  const client = new Client({
    connectionString: access.connectionString,
    connectionTimeoutMillis: TIMEOUT,
    query_timeout: TIMEOUT,
  });
  // What goes wrong also rejects the call that is waiting.
  client.on('error', () => {});
  try {
    await client.connect();
    const { rows } = await client.query<{ server_version: string }>('SHOW server_version');
    return rows[0]?.server_version.split(' ')[0] ?? '';
  } finally {
    client.end().catch(() => {});
  }
}
