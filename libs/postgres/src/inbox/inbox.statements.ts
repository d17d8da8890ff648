import { quotedSchema } from '../sql/schema.name.js';

const ENTRY = 'listener = $1::text AND source = $2::text AND id = $3::text';
const COLUMNS = 'listener, source, id, digest, event, version, channel, key, attempts, service';

/** Every statement of the inbox, for one schema. */
export class InboxStatements {
  /** A row: it is new. Waits for whoever is about to insert the same. `$4` digest; then event, version, channel, key, attempts, service. */
  readonly enter: string;
  /**
   * Several of the listener `$1`, as a JSON array; the rows are those that are new. In the order of their keys, so that of two that
   * have some in common one waits for the other, and not each for the other.
   */
  readonly enterAll: string;
  readonly find: string;
  /** Several of the listener `$1`, as a JSON array. */
  readonly findAll: string;
  /** `$4` a JSON array. */
  readonly keepOutputs: string;
  /** `$1` milliseconds, `$2` so many. By the time of the statement, by which an index can be searched: no row that is kept is asked. */
  readonly purge: string;

  constructor(name: string) {
    const inbox = `${quotedSchema(name)}.inbox`;
    this.enter = `INSERT INTO ${inbox} (${COLUMNS})
      VALUES ($1::text, $2::text, $3::text, $4::bytea, $5::text, $6::text::integer, $7::text, $8::text, $9::text::integer, $10::text)
      ON CONFLICT DO NOTHING RETURNING 1 AS entered`;
    this.enterAll = `INSERT INTO ${inbox} (${COLUMNS})
      SELECT $1::text, source, id, decode(digest, 'hex'), event, version, channel, key, attempts, service
      FROM json_to_recordset($2::text::json) AS e (source text, id text, digest text, event text, version integer, channel text, key text,
        attempts integer, service text)
      ORDER BY source COLLATE "C", id COLLATE "C"
      ON CONFLICT DO NOTHING RETURNING source, id`;
    this.find = `SELECT digest, outputs FROM ${inbox} WHERE ${ENTRY}`;
    this.findAll = `SELECT i.source, i.id, i.digest, i.outputs FROM ${inbox} i
      JOIN json_to_recordset($2::text::json) AS e (source text, id text) ON i.source = e.source AND i.id = e.id
      WHERE i.listener = $1::text`;
    this.keepOutputs = `UPDATE ${inbox} SET outputs = $4::text WHERE ${ENTRY}`;
    this.purge = `DELETE FROM ${inbox} WHERE (listener, source, id) IN (
        SELECT listener, source, id FROM ${inbox} WHERE handled_at < statement_timestamp() - $1::float8 * interval '1 millisecond'
        ORDER BY handled_at LIMIT $2::int FOR UPDATE SKIP LOCKED)`;
  }
}
