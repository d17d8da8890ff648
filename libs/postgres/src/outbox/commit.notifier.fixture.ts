import type { Database, QueryResult, Row } from '../sql/database.js';
import { OutboxStatements } from './outbox.statements.js';

/** One question after transactions: which were asked for, and which of them were open still. */
export interface Question {
  readonly xids: readonly string[];
  readonly anyway: boolean;
  readonly open: readonly string[];
}

/** A database that notes which transactions it was asked for. */
export class QuestionedDatabase implements Database {
  readonly questions: Question[] = [];
  readonly #text: string;

  constructor(
    private readonly inner: Database,
    schema: string,
  ) {
    this.#text = new OutboxStatements(schema).notifyCommitted;
  }

  get kind(): Database['kind'] {
    return this.inner.kind;
  }

  get urgent(): Database['urgent'] {
    return this.inner.urgent;
  }

  async query<R extends Row = Row>(text: string, values: readonly unknown[] = []): Promise<QueryResult<R>> {
    const result = await this.inner.query<R>(text, values);
    if (text === this.#text)
      this.questions.push({
        xids: split(String(values[2]).slice(1, -1)),
        anyway: values[3] === true,
        open: split(String(result.rows[0]?.['open'])),
      });
    return result;
  }

  transaction: Database['transaction'] = (work) => this.inner.transaction(work);
  listen: Database['listen'] = (channel, heard) => this.inner.listen(channel, heard);
  close: Database['close'] = () => this.inner.close();
}

const split = (text: string): readonly string[] => text.split(',').filter((part) => part !== '');
