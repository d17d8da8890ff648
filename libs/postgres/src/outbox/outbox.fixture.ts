import { PGlite } from '@electric-sql/pglite';
import { EventingContext, EventingRuntime, resolveOptions, type EventingOptions } from 'nestjs-eventing';
import { RecordingLogger } from '../../../eventing/src/kernel.fixture.js';
import { ScriptedProvider } from '../../../eventing/src/scripted.provider.fixture.js';
import { until } from '../../../eventing/src/provider/provider.fixture.js';
import type { Database, QueryResult, Row, Sql } from '../sql/database.js';
import { Outbox } from './outbox.js';
import { PostgresOutboxModule } from './outbox.module.js';
import type { OutboxOptions } from './outbox.options.js';

export { until };

/** A PGlite in memory, for many tests: each in a schema of its own. Counts what it is asked. */
export class MemoryDatabase implements Database {
  readonly kind = 'embedded';
  readonly texts: string[] = [];
  /** Throws where statements are to fail. */
  onQuery: (text: string) => void = () => undefined;

  private constructor(readonly pglite: PGlite) {}

  static async open(): Promise<MemoryDatabase> {
    return new MemoryDatabase(await PGlite.create());
  }

  async query<R extends Row = Row>(text: string, values: readonly unknown[] = []): Promise<QueryResult<R>> {
    this.texts.push(text);
    this.onQuery(text);
    const { rows, affectedRows } = await this.pglite.query<R>(text, [...values]);
    return { rows, affected: affectedRows ?? 0 };
  }

  transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    return this.pglite.transaction((tx) =>
      work({
        query: async <R extends Row>(text: string, values: readonly unknown[] = []) => {
          this.texts.push(text);
          this.onQuery(text);
          const { rows, affectedRows } = await tx.query<R>(text, [...values]);
          return { rows, affected: affectedRows ?? 0 };
        },
      }),
    );
  }

  async listen(channel: string, heard: (payload: string | undefined) => void): Promise<() => Promise<void>> {
    const end = await this.pglite.listen(`"${channel}"`, heard);
    return () => end();
  }

  /** The tests after this one go on with it. */
  async close(): Promise<void> {}

  end(): Promise<void> {
    return this.pglite.close();
  }
}

export interface ShopOptions extends Omit<EventingOptions, 'provider' | 'logger'> {
  readonly provider?: ScriptedProvider;
  readonly outbox?: Partial<OutboxOptions>;
}

/** One process of a service with an outbox, on a provider that does what a test tells it. */
export class Shop {
  readonly logger = new RecordingLogger();
  readonly provider: ScriptedProvider;
  readonly runtime: EventingRuntime;
  readonly outbox: Outbox;

  constructor(
    readonly database: Database,
    readonly schema: string,
    { provider = new ScriptedProvider(), outbox = {}, ...options }: ShopOptions = {},
  ) {
    this.provider = provider;
    const resolved = resolveOptions({ service: 'shop', provider: provider.factory, ...options }, this.logger);
    this.runtime = new EventingRuntime(resolved, () => ({ listeners: [], pipelines: [], problems: [] }));
    this.outbox = new Outbox({ database: async () => database, schema, pollInterval: 50, ...outbox });
  }

  async start(): Promise<this> {
    await new PostgresOutboxModule(this.outbox, this.runtime).onModuleInit();
    await this.runtime.start();
    return this;
  }

  get context(): EventingContext {
    return this.runtime.context;
  }

  /** What the provider has taken, by id. */
  get ids(): string[] {
    return this.provider.messages.map(({ id }) => id);
  }

  async count(where = 'true'): Promise<number> {
    const { rows } = await this.database.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM "${this.schema}".outbox WHERE ${where}`,
    );
    return rows[0]?.count ?? 0;
  }

  /** Nothing waits any more. */
  empty(): Promise<void> {
    return until('the outbox is empty', async () => (await this.count(`state IN ('waiting', 'retrying')`)) === 0);
  }

  stop(): Promise<void> {
    return this.runtime.stop();
  }
}
