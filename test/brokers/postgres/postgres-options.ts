/** How to start a server of one's own. */
export interface PostgresServerOptions {
  /** Lines of postgresql.conf over the harness's own, for example `{ wal_level: 'logical' }`. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
  /** The clients' port. @default a free one */
  readonly port?: number | undefined;
}

/** What a client needs to connect. */
export interface PostgresAccess {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** All of the above in one, as pg takes it. */
  readonly connectionString: string;
  /** As the server tells it, for example `15.9`. */
  readonly version: string;
}
