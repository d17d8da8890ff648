import { quotedSchema } from '../sql/schema.name.js';

const ENTRY = 'listener = $1::text AND source = $2::text AND id = $3::text';

/** Every statement of the inbox, for one schema. */
export class InboxStatements {
  /** A row: it is new. Waits for whoever is about to insert the same. `$4` digest. */
  readonly enter: string;
  readonly find: string;
  /** `$4` a JSON array. */
  readonly keepOutputs: string;
  /** `$1` milliseconds, `$2` so many. */
  readonly purge: string;

  constructor(name: string) {
    const inbox = `${quotedSchema(name)}.inbox`;
    this.enter = `INSERT INTO ${inbox} (listener, source, id, digest) VALUES ($1::text, $2::text, $3::text, $4::bytea)
      ON CONFLICT DO NOTHING RETURNING 1 AS entered`;
    this.find = `SELECT digest, outputs FROM ${inbox} WHERE ${ENTRY}`;
    this.keepOutputs = `UPDATE ${inbox} SET outputs = $4::text WHERE ${ENTRY}`;
    this.purge = `DELETE FROM ${inbox} WHERE (listener, source, id) IN (
        SELECT listener, source, id FROM ${inbox} WHERE handled_at < clock_timestamp() - $1::float8 * interval '1 millisecond'
        ORDER BY handled_at LIMIT $2::int FOR UPDATE SKIP LOCKED)`;
  }
}
