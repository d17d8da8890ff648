import { createHash } from 'node:crypto';
import type { Row } from '../sql/database.js';
import type { TransactionAdapter } from './transaction.adapter.js';

/** So many different statements get a name. */
const MOST = 50;

/** A client of `pg`: what has a name is prepared. */
export interface Preparing {
  query(config: {
    readonly name: string;
    readonly text: string;
    readonly values: unknown[];
  }): Promise<{ readonly rows: readonly unknown[] }>;
}

/** Names for statements, made of their text: whoever else prepares statements on these connections takes none of them. */
export class PreparedTexts {
  readonly #names = new Map<string, string>();

  adapter(client: Preparing): TransactionAdapter {
    return async (text, values) =>
      (await client.query({ name: this.#nameOf(text), text, values: [...values] })).rows as readonly Row[];
  }

  #nameOf(text: string): string {
    const known = this.#names.get(text);
    if (known !== undefined) return known;
    const name = `evt_${createHash('sha256').update(text).digest('hex').slice(0, 32)}`;
    if (this.#names.size < MOST) this.#names.set(text, name);
    return name;
  }
}
