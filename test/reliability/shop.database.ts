import { Pool } from 'pg';
import type { HistoryWriter } from '../../libs/testing/src/index.js';

export interface Progress {
  /** Orders that were committed. */
  readonly placed: number;
  /** Orders that were begun, with those that were rolled back. */
  readonly drawn: number;
  readonly charged: number;
  readonly settled: number;
  /** Rows of the outbox that are not sent. */
  readonly waiting: number;
}

const TABLES = `
  CREATE TABLE counters (key text PRIMARY KEY, number integer NOT NULL);
  CREATE TABLE orders (number bigserial, event text NOT NULL, transaction text NOT NULL);
  CREATE TABLE quota (orders integer NOT NULL);
  INSERT INTO quota VALUES (0);
  CREATE TABLE effects (listener text NOT NULL, channel text NOT NULL, event text NOT NULL, message text NOT NULL, transaction text NOT NULL);
`;

/** The service's own database, as the run sees it: without a line of the package. */
export class ShopDatabase {
  readonly #pool: Pool;

  constructor(connectionString: string) {
    this.#pool = new Pool({ connectionString, max: 2, connectionTimeoutMillis: 3_000, query_timeout: 60_000 });
    // It is killed now and then.
    this.#pool.on('error', () => undefined);
  }

  async create(): Promise<void> {
    await this.#pool.query(TABLES);
  }

  /** Rejects while the database is away. */
  async progress(): Promise<Progress> {
    const { rows } = await this.#pool.query<Progress>(`SELECT (SELECT count(*)::int FROM orders) AS placed,
      (SELECT last_value::int FROM orders_number_seq) AS drawn,
      (SELECT count(*)::int FROM effects WHERE channel = 'orders') AS charged,
      (SELECT count(*)::int FROM effects WHERE channel = 'payments') AS settled,
      (SELECT count(*)::int FROM eventing.outbox WHERE state IN ('waiting', 'retrying')) AS waiting`);
    return rows[0] as Progress;
  }

  /** How many effects of committed orders are not there yet; some that are there may be of others. Rejects while the database is away. */
  async missing(): Promise<number> {
    const without = (channel: string): string =>
      `(SELECT count(*)::int FROM orders o WHERE NOT EXISTS (SELECT FROM effects e WHERE e.event = o.event AND e.channel = '${channel}'))`;
    const { rows } = await this.#pool.query<{ missing: number }>(
      `SELECT ${without('orders')} + ${without('payments')} AS missing`,
    );
    return rows[0]?.missing ?? 0;
  }

  /** So many orders may be begun in all; a few more are, by those who have not heard. Rejects while the database is away. */
  async allow(orders: number): Promise<void> {
    await this.#pool.query('UPDATE quota SET orders = $1', [orders]);
  }

  /** The name of the process that publishes what is in the outbox; `undefined`: nobody does now. */
  async relay(): Promise<string | undefined> {
    const { rows } = await this.#pool.query<{ holder: string }>(
      `SELECT holder FROM eventing.outbox_relays WHERE expires_at > clock_timestamp()`,
    );
    return rows[0]?.holder;
  }

  /** Writes down what is left when all is over. */
  async testify(history: HistoryWriter): Promise<void> {
    const all = async <Row extends object>(text: string): Promise<Row[]> => (await this.#pool.query<Row>(text)).rows;
    const transactions = `SELECT transaction FROM orders UNION SELECT transaction FROM effects`;
    for (const { transaction } of await all<{ transaction: string }>(transactions))
      history.note({ kind: 'row', transaction });
    for (const row of await all<Effect>('SELECT listener, channel, event, message FROM effects'))
      history.note({ kind: 'effect', ...row });
    for (const row of await all<Entry>('SELECT listener, id AS message FROM eventing.inbox'))
      history.note({ kind: 'inbox', ...row });
    const outbox = `SELECT channel, convert_from(body, 'UTF8')::json ->> 'order' AS event, id AS message, state FROM eventing.outbox`;
    for (const row of await all<Kept>(outbox)) history.note({ kind: 'outbox', ...row });
    for (const what of ['rows', 'effects', 'inbox', 'outbox'] as const) history.note({ kind: 'read', what });
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }
}

interface Effect {
  readonly listener: string;
  readonly channel: string;
  readonly event: string;
  readonly message: string;
}
type Entry = Pick<Effect, 'listener' | 'message'>;
type Kept = Omit<Effect, 'listener'> & { readonly state: 'waiting' | 'retrying' | 'failed' | 'sent' };
