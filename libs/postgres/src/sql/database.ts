/** A row as the client library gives it: columns by name. */
export type Row = Readonly<Record<string, unknown>>;

/** Runs statements: on any connection of a database, or inside one transaction. */
export interface Sql {
  /** One statement; values are bound as `$1`, `$2`, … and never spelled into the text. */
  query<R extends Row = Row>(text: string, values?: readonly unknown[]): Promise<QueryResult<R>>;
}

export interface QueryResult<R extends Row = Row> {
  readonly rows: readonly R[];
  /** Rows that were inserted, updated or deleted. */
  readonly affected: number;
}

export interface TransactionOptions {
  /** Its statements take as long as they take: no time-out of the client ends them. @default false */
  readonly patient?: boolean;
}

/** A PostgreSQL, on a server or embedded. Everything in this room speaks to it through this alone. */
export interface Database extends Sql {
  readonly kind: 'server' | 'embedded';
  /**
   * Statements that must not wait until others are done, such as the renewal of a lease: on a connection of their own. Undefined where
   * there is only one.
   */
  readonly urgent?: Sql | undefined;
  /** Commits when `work` resolves, rolls back when it rejects. */
  transaction<T>(work: (sql: Sql) => Promise<T>, options?: TransactionOptions): Promise<T>;
  /**
   * Calls `heard` for each notification of a channel, and once more after a connection that was lost is back: what was notified
   * meanwhile is not known. Resolves when it listens; call what it gives to end it.
   */
  listen(channel: string, heard: (payload: string | undefined) => void): Promise<() => Promise<void>>;
  /** Closes every connection. Never rejects. */
  close(): Promise<void>;
}
