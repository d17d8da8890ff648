import { quotedSchema } from '../sql/schema.name.js';

/** Those whose later messages wait, by what is done with a parked one. */
const HOLDS = { wait: `h.state IN ('retrying', 'failed')`, continue: `h.state = 'retrying'` } as const;

const MESSAGE = 'o.id, o.channel, o.key, o.headers, o.body, o.time::float8 AS time, o.durable, o.recipient';

/** Every statement of the outbox, for one schema. All of them are short, and none locks more than it changes. */
export class OutboxStatements {
  /** What is notified when something is stored: so that a relay need not wait for its next look. */
  readonly channel: string;
  readonly #schema: string;
  /** Texts that each transaction uses, made once: whoever prepares them finds their names by them. */
  readonly #storeOne: Record<'plain' | 'identified', string>;

  constructor(schema: string) {
    this.#schema = quotedSchema(schema);
    this.channel = `${schema}_outbox`;
    const plain = `INSERT INTO ${this.#schema}.outbox (service, provider, id, channel, key, headers, body, time, durable, recipient)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::bigint, $9, $10)`;
    this.#storeOne = { plain, identified: `${plain} ${RETURNING}` };
  }

  /**
   * One message, in the user's transaction. `$1` service, `$2` provider, then the message's fields. Short, for it is what each transaction
   * with an event pays. @param identified whether it gives the id of the transaction
   */
  storeOne(identified: boolean): string {
    return this.#storeOne[identified ? 'identified' : 'plain'];
  }

  /** Several messages. `$1` service, `$2` a JSON array of messages with their provider, in order. */
  storeMany(identified: boolean): string {
    return `INSERT INTO ${this.#schema}.outbox (service, provider, id, channel, key, headers, body, time, durable, recipient)
      SELECT $1::text, provider, id, channel, key, headers, decode(body, 'base64'), time, durable, recipient
      FROM ROWS FROM (json_to_recordset($2::text::json) AS (provider text, id text, channel text, key text, headers text, body text,
        time bigint, durable boolean, recipient text)) WITH ORDINALITY
        AS m (provider, id, channel, key, headers, body, time, durable, recipient, number)
      ORDER BY number
      ${identified ? RETURNING : ''}`;
  }

  /**
   * Notifies if any of these transactions has committed, and gives those that have not ended, with commas between. `$1` service,
   * `$2` the channel to notify, `$3` ids of transactions, as the text of an array, `$4` whether to notify in any case. Not by the rows:
   * a relay may have published and deleted them.
   */
  get notifyCommitted(): string {
    return `SELECT coalesce(string_agg(xid, ',') FILTER (WHERE status = 'in progress'), '') AS open,
        CASE WHEN bool_or(status = 'committed') OR $4::boolean THEN pg_notify($2::text, $1::text) IS NULL END AS notified
      FROM (SELECT xid, pg_xact_status(xid::xid8) AS status FROM unnest($3::text::text[]) AS xid) asked`;
  }

  /** Becomes the relay, where nobody is. `$1` service, `$2` provider, `$3` holder, `$4` milliseconds. */
  get acquire(): string {
    return `INSERT INTO ${this.#schema}.outbox_relays AS r (service, provider, holder, token, expires_at)
      VALUES ($1, $2, $3, 1, clock_timestamp() + $4::float8 * interval '1 millisecond')
      ON CONFLICT (service, provider) DO UPDATE
        SET holder = excluded.holder, token = r.token + 1, expires_at = excluded.expires_at
        WHERE r.expires_at <= clock_timestamp()
      RETURNING token::text AS token`;
  }

  /** Remains it. `$1` service, `$2` provider, `$3` token, `$4` milliseconds. No row: somebody else is. */
  get renew(): string {
    return `UPDATE ${this.#schema}.outbox_relays SET expires_at = clock_timestamp() + $4::float8 * interval '1 millisecond'
      WHERE service = $1 AND provider = $2 AND token = $3::bigint RETURNING sweep::text AS sweep`;
  }

  /** `$1` service, `$2` provider, `$3` token. */
  get release(): string {
    return `UPDATE ${this.#schema}.outbox_relays SET expires_at = '-infinity' WHERE service = $1 AND provider = $2 AND token = $3::bigint`;
  }

  /**
   * The next messages, and in the first row what the look itself is; one row without a message where there are none, and no row where the
   * lease is lost. Not among them is what waits behind a message of its key that failed. Writes nothing. `$1` service, `$2` provider,
   * `$3` token, `$4` after this position, `$5` so many, `$6` so many bytes.
   */
  next(parkedKeys: keyof typeof HOLDS): string {
    const ours = `o.service = $1 AND o.provider = $2`;
    const held = `SELECT FROM ${this.#schema}.outbox h WHERE h.service = $1 AND h.provider = $2 AND ${HOLDS[parkedKeys]}`;
    // Mostly nothing is held, which is asked once.
    const free = `(NOT EXISTS (${held}) OR o.key IS NULL
        OR NOT EXISTS (${held} AND h.channel = o.channel AND h.key = o.key AND h.position < o.position))`;
    const columns = `o.position, o.state, o.attempts, ${MESSAGE}`;
    return `WITH ready AS (
        (SELECT ${columns} FROM ${this.#schema}.outbox o
          WHERE ${ours} AND o.state = 'waiting' AND o.position > $4::bigint AND ${free}
          ORDER BY o.position LIMIT $5::int)
        UNION ALL
        (SELECT ${columns} FROM ${this.#schema}.outbox o
          WHERE ${ours} AND o.state = 'retrying' AND o.due_at <= clock_timestamp() AND ${free}
          ORDER BY o.position LIMIT $5::int)
      ), measured AS (
        SELECT ready.*, sum(octet_length(body)) OVER (ORDER BY position) - octet_length(body) AS before FROM ready
      ), look AS (
        SELECT r.sweep::text AS sweep, pg_snapshot_xmin(pg_current_snapshot())::text AS xmin, pg_current_xact_id()::text AS xid,
          (SELECT extract(epoch FROM min(o.due_at) - clock_timestamp()) * 1000 FROM ${this.#schema}.outbox o
            WHERE ${ours} AND o.state = 'retrying')::float8 AS due_in
        FROM ${this.#schema}.outbox_relays r WHERE r.service = $1 AND r.provider = $2 AND r.token = $3::bigint
      )
      SELECT CASE WHEN first THEN l.sweep END AS sweep, CASE WHEN first THEN l.xmin END AS xmin, CASE WHEN first THEN l.xid END AS xid,
        CASE WHEN first THEN l.due_in END AS due_in,
        m.position::text AS position, m.state, m.attempts, m.id, m.channel, m.key, m.headers, m.body, m.time, m.durable, m.recipient
      FROM look l LEFT JOIN measured m ON m.before < $6::float8 CROSS JOIN LATERAL (SELECT m.before > 0 IS NOT TRUE AS first) f
      ORDER BY m.position`;
  }

  /** Published: gone, or kept as a log. `$5` positions, as the text of an array. */
  sent(keep: boolean): string {
    const done = keep
      ? `UPDATE ${this.#schema}.outbox SET state = 'sent', attempts = attempts + 1, due_at = NULL, error = NULL, settled_at = clock_timestamp()`
      : `DELETE FROM ${this.#schema}.outbox`;
    return `WITH lease AS (${this.renew}), done AS (
        ${done} WHERE position = ANY ($5::text::bigint[]) AND EXISTS (SELECT FROM lease)
      ) SELECT 1 AS held FROM lease`;
  }

  /** Not published. `$5` a JSON array of `{ position, attempts, delay, error }`; without a delay it is parked. */
  get failed(): string {
    return `WITH lease AS (${this.renew}), failures AS (
        SELECT * FROM json_to_recordset($5::text::json) AS f (position bigint, attempts int, delay float8, error text)
      ), done AS (
        UPDATE ${this.#schema}.outbox o SET state = CASE WHEN f.delay IS NULL THEN 'failed' ELSE 'retrying' END, attempts = f.attempts,
          due_at = clock_timestamp() + f.delay * interval '1 millisecond', error = f.error,
          settled_at = CASE WHEN f.delay IS NULL THEN clock_timestamp() END
        FROM failures f WHERE o.position = f.position AND EXISTS (SELECT FROM lease)
      ) SELECT 1 AS held FROM lease`;
  }

  /** Parked messages after a position, oldest first. `$1` service, `$2` after, `$3` so many; then the filter. */
  get parked(): string {
    return `SELECT o.position::text AS position, o.provider, o.attempts, o.error, (extract(epoch FROM o.settled_at) * 1000)::float8 AS failed_at,
        ${MESSAGE}
      FROM ${this.#schema}.outbox o
      WHERE o.service = $1 AND o.state = 'failed' AND o.position > $2::bigint AND ${filter(4)}
      ORDER BY o.position LIMIT $3::int`;
  }

  /** Parked messages are sent again, with all their attempts. `$1` service; then the filter. */
  get resend(): string {
    return this.#ofParked(
      `UPDATE ${this.#schema}.outbox o SET state = 'waiting', attempts = 0, due_at = NULL, settled_at = NULL
        WHERE o.service = $1 AND o.state = 'failed' AND ${filter(2)} RETURNING o.provider`,
    );
  }

  /** The same of those at these positions. `$1` service, `$2` positions, as the text of an array, `$3` the channel to notify. */
  get resendAt(): string {
    return this.#ofParked(
      `UPDATE ${this.#schema}.outbox o SET state = 'waiting', attempts = 0, due_at = NULL, settled_at = NULL
        WHERE o.service = $1 AND o.state = 'failed' AND o.position = ANY ($2::text::bigint[]) RETURNING o.provider`,
      '$3',
    );
  }

  /** Parked messages that are old enough are forgotten. `$1` service, `$2` milliseconds, `$3` so many, `$4` the channel to notify. */
  get purgeFailed(): string {
    return this.#ofParked(
      `DELETE FROM ${this.#schema}.outbox o WHERE o.position IN (
        SELECT f.position FROM ${this.#schema}.outbox f
        WHERE f.service = $1 AND f.state = 'failed' AND f.settled_at < clock_timestamp() - $2::float8 * interval '1 millisecond'
        ORDER BY f.position LIMIT $3::int FOR UPDATE SKIP LOCKED) RETURNING o.provider`,
      '$4',
    );
  }

  /** Parked messages are forgotten. `$1` service; then the filter. */
  get discard(): string {
    return this.#ofParked(
      `DELETE FROM ${this.#schema}.outbox o WHERE o.service = $1 AND o.state = 'failed' AND ${filter(2)} RETURNING o.provider`,
    );
  }

  /** How much there is. `$1` service. One part for each index: together they would read all that is kept as a log. */
  get depth(): string {
    return `SELECT provider, count(*) FILTER (WHERE state = 'waiting')::float8 AS waiting,
        count(*) FILTER (WHERE state = 'retrying')::float8 AS retrying, count(*) FILTER (WHERE state = 'failed')::float8 AS failed,
        greatest(0, extract(epoch FROM clock_timestamp() - min(stored_at) FILTER (WHERE state <> 'failed')) * 1000)::float8 AS age
      FROM (SELECT provider, state, stored_at FROM ${this.#schema}.outbox WHERE service = $1 AND state = 'waiting'
        UNION ALL SELECT provider, state, stored_at FROM ${this.#schema}.outbox WHERE service = $1 AND state IN ('retrying', 'failed')) o
      GROUP BY provider ORDER BY provider`;
  }

  /**
   * What was kept as a log long enough. `$1` service, `$2` milliseconds, `$3` so many. By the time of the statement, by which an index can be
   * searched: of a clock that moves on meanwhile, each row that is kept would be asked.
   */
  get purge(): string {
    return `DELETE FROM ${this.#schema}.outbox WHERE position IN (
        SELECT position FROM ${this.#schema}.outbox
        WHERE service = $1 AND state = 'sent' AND settled_at < statement_timestamp() - $2::float8 * interval '1 millisecond'
        ORDER BY settled_at LIMIT $3::int FOR UPDATE SKIP LOCKED)`;
  }

  /** The relays of their providers begin at the beginning again, and are woken. @param channel the value that is the channel to notify */
  #ofParked(change: string, channel = '$6'): string {
    return `WITH changed AS (${change}), swept AS (
        UPDATE ${this.#schema}.outbox_relays SET sweep = sweep + 1 WHERE service = $1 AND provider IN (SELECT provider FROM changed)
      ) SELECT count(*)::int AS count, pg_notify(${channel}::text, $1::text) IS NULL AS notified FROM changed`;
  }
}

/** Of the transaction, whatever savepoints it is in. */
const RETURNING = 'RETURNING xid::text AS xid';

/** Four values from `first` on, each null where it does not matter. */
const filter = (first: number): string => {
  const value = (index: number): string => `$${first + index}::text`;
  return `(${value(0)} IS NULL OR o.provider = ${value(0)}) AND (${value(1)} IS NULL OR o.channel = ${value(1)})
      AND (${value(2)} IS NULL OR o.key = ${value(2)}) AND (${value(3)} IS NULL OR o.id = ${value(3)})`;
};
