import { join, resolve } from 'node:path';
import type { PGlite } from '@electric-sql/pglite';
import { loadLibrary } from './client.library.js';
import type { Database, QueryResult, Row, Sql } from './database.js';
import { FolderLock } from './folder.lock.js';

const BYTEA = 17;
/** PGlite's own way takes longer than all else that it does with a body. */
const BYTES = {
  parsers: { [BYTEA]: (text: string): Buffer => Buffer.from(text.slice(2), 'hex') },
  serializers: { [BYTEA]: (bytes: Uint8Array): string => `\\x${hexOf(bytes)}` },
};

/** PGlite's side of a statement: the database, or a transaction of it. */
interface Statements {
  query<R>(
    text: string,
    values?: unknown[],
  ): Promise<{ readonly rows: readonly R[]; readonly affectedRows?: number | undefined }>;
}

/** One PGlite in a folder. It is one connection: statements wait for each other, transactions too. */
export class EmbeddedDatabase implements Database {
  readonly kind = 'embedded';
  private closing: Promise<void> | undefined;

  private constructor(
    private readonly pglite: PGlite,
    private readonly lock: FolderLock,
  ) {}

  /** Throws EVT_FOLDER_LOCKED, EVT_CLIENT_MISSING. */
  static async open(dataDir: string): Promise<EmbeddedDatabase> {
    const { PGlite } = await loadLibrary('@electric-sql/pglite', 'embedded()', () => import('@electric-sql/pglite'));
    const folder = resolve(dataDir);
    const lock = await FolderLock.take(folder);
    try {
      return new EmbeddedDatabase(await PGlite.create(join(folder, 'data'), BYTES), lock);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  query<R extends Row = Row>(text: string, values?: readonly unknown[]): Promise<QueryResult<R>> {
    return run<R>(this.pglite, text, values);
  }

  transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    return this.pglite.transaction((transaction) => work({ query: (text, values) => run(transaction, text, values) }));
  }

  async listen(channel: string, heard: (payload: string | undefined) => void): Promise<() => Promise<void>> {
    const end = await this.pglite.listen(quoted(channel), heard);
    return () => end();
  }

  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    await this.pglite.close().catch(() => undefined);
    await this.lock.release();
  }
}

async function run<R extends Row>(
  statements: Statements,
  text: string,
  values: readonly unknown[] = [],
): Promise<QueryResult<R>> {
  const { rows, affectedRows } = await statements.query<R>(text, [...values]);
  return { rows, affected: affectedRows ?? 0 };
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** PGlite would make it lower case. */
function quoted(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`;
}
