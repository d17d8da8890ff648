import type { ConnectionOptions } from 'node:tls';

/** How to reach a server. Times in milliseconds. */
export interface ServerConnection {
  readonly connectionString: string | undefined;
  readonly host: string | undefined;
  readonly port: number | undefined;
  readonly user: string | undefined;
  readonly password: string | (() => string | Promise<string>) | undefined;
  readonly database: string | undefined;
  readonly ssl: boolean | ConnectionOptions | undefined;
  readonly applicationName: string;
  /** Connections beside the one that listens. */
  readonly poolSize: number;
  readonly connectionTimeout: number;
  /** Of one statement; then its connection is given up. */
  readonly statementTimeout: number;
  readonly livenessInterval: number;
  readonly livenessTimeout: number;
}

/** Told of each change: whether the server can be reached, as the connection that listens sees it. */
export interface ConnectionWatcher {
  up(): void;
  down(cause: Error): void;
}
