import {
  EventingError,
  EventLog,
  type EventLogHome,
  type HandledEntry,
  type HandledFilter,
  type LogPage,
  type LogPaging,
  type ResendFilter,
  type ResendOptions,
  type ResendReport,
  type SentEntry,
  type SentFilter,
} from 'nestjs-eventing';
import { migrateSchema } from '../migrations/migrate.js';
import { prepareSchema } from '../migrations/prepare.schema.js';
import { OutboxStatements } from '../outbox/outbox.statements.js';
import { Retention } from '../outbox/retention.js';
import { connectionError } from '../postgres.errors.js';
import type { Database, Row } from '../sql/database.js';
import { type EventLogOptions, resolveEventLogOptions } from './event-log.options.js';
import { BEGIN, EventLogStatements, type Statement } from './event-log.statements.js';
import { FailedHousekeeping } from './failed.housekeeping.js';
import { handledPage } from './handled.page.js';
import { sentEntry, type SentRow } from './log.entries.js';
import { checkFilter, limitOf } from './log.question.js';
import { Resending } from './resending.js';

/** How often failures that are too old are looked for, in milliseconds. */
const HOUR = 3_600_000;
const POSITION = /^\d{1,18}$/;

/**
 * The log of a service whose outbox and inbox are in one schema of a PostgreSQL, on a server or embedded. Dead letters are those of all
 * providers of the application, wherever they lie. Give it to `forRoot({ log })`.
 */
export class PostgresEventLog extends EventLog {
  readonly #options: Required<EventLogOptions>;
  readonly #statements: EventLogStatements;
  readonly #outbox: OutboxStatements;
  #home: EventLogHome | undefined;
  #opened: Promise<Database> | undefined;
  #housekeeping: Retention | undefined;

  /** @throws EventingError EVT_INVALID_OPTIONS */
  constructor(options: EventLogOptions) {
    super();
    this.#options = resolveEventLogOptions(options);
    this.#statements = new EventLogStatements(this.#options.schema);
    this.#outbox = new OutboxStatements(this.#options.schema);
  }

  override open(home: EventLogHome): void {
    this.#home = home;
    const { failedRetention } = this.#options;
    if (!home.housekeeping || failedRetention === 0) return;
    const work = new FailedHousekeeping(home, this.#outbox, failedRetention, () => this.#database());
    this.#housekeeping = new Retention(() => work.run(), home.clock, home.logger, HOUR);
    this.#housekeeping.start();
  }

  override async sent(filter: SentFilter = {}, page: LogPaging = {}): Promise<LogPage<SentEntry>> {
    checkFilter('sent', filter);
    const { rows, limit } = await this.#sent(filter, page);
    const last = rows.at(-1);
    const entries = rows.map(sentEntry);
    return last === undefined || rows.length < limit ? { entries } : { entries, cursor: last.position };
  }

  override async handled(filter: HandledFilter = {}, page: LogPaging = {}): Promise<LogPage<HandledEntry>> {
    checkFilter('handled', filter);
    const { service, deadLetters } = this.#living;
    const query = <R extends Row>(statement: Statement): Promise<readonly R[]> => this.#query<R>(statement);
    const limit = limitOf(page, 100, 1000);
    return handledPage({ service, deadLetters, statements: this.#statements, query }, filter, limit, page.cursor);
  }

  override async resend(filter: ResendFilter, options: ResendOptions = {}): Promise<ResendReport> {
    checkFilter('resend', filter);
    const { service, deadLetters, clock } = this.#living;
    const limit = limitOf(options, 1000, 1_000_000);
    const resending = new Resending({
      deadLetters,
      now: clock.now(),
      failed: async (sends, cursor, most) => (await this.#sent({ ...sends, outcome: 'failed' }, { cursor, limit: most })).rows.map(({ position }) => position), // prettier-ignore
      again: async (positions) => {
        const values = [service, `{${positions.join(',')}}`, this.#outbox.channel];
        const [row] = await this.#query<Row & { count: number }>({ text: this.#outbox.resendAt, values });
        return row?.count ?? 0;
      },
    });
    return resending.run(filter, { limit, force: options.force ?? false, dryRun: options.dryRun ?? false });
  }

  override async migrate(): Promise<readonly string[]> {
    const database = await this.#options.database();
    try {
      return await migrateSchema(database, this.#options.schema);
    } catch (error) {
      throw connectionError(error);
    } finally {
      await database.close();
    }
  }

  override async close(): Promise<void> {
    this.#home = undefined;
    await this.#housekeeping?.stop();
    const opened = this.#opened;
    this.#opened = undefined;
    await opened?.then((database) => database.close()).catch(() => undefined);
  }

  get #living(): EventLogHome {
    if (this.#home !== undefined) return this.#home;
    throw new EventingError(
      'EVT_NOT_RUNNING',
      'The event log belongs to no application that runs: give it to EventingModule.forRoot({ log }), and use it after the start.',
    );
  }

  async #sent(
    filter: SentFilter,
    page: { readonly limit?: number; readonly cursor?: string | undefined },
  ): Promise<{ readonly rows: readonly SentRow[]; readonly limit: number }> {
    const { service } = this.#living;
    const { cursor = BEGIN } = page;
    const limit = limitOf(page, 100, 1000);
    if (!POSITION.test(cursor))
      throw new EventingError(
        'EVT_INVALID_OPTIONS',
        `"${cursor.slice(0, 100)}" is no cursor of what was sent: pass one on as it came, or begin without.`,
      );
    return { rows: await this.#query<SentRow>(this.#statements.sent(service, filter, cursor, limit)), limit };
  }

  async #query<R extends Row>({ text, values }: Statement): Promise<readonly R[]> {
    try {
      const database = await this.#database();
      return (await database.query<R>(text, values)).rows;
    } catch (error) {
      throw connectionError(error);
    }
  }

  /** Opened with the first question: a log that nobody asks costs no connection. */
  #database(): Promise<Database> {
    const { topology } = this.#living;
    this.#opened ??= this.#openDatabase(topology).catch((error: unknown) => {
      // The next question tries again.
      this.#opened = undefined;
      throw error;
    });
    return this.#opened;
  }

  async #openDatabase(topology: 'create' | 'check'): Promise<Database> {
    const database = await this.#options.database();
    try {
      await prepareSchema(database, this.#options.schema, topology);
      return database;
    } catch (error) {
      await database.close();
      throw error;
    }
  }
}
