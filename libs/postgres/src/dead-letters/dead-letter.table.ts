import { type DeadLetter, type DeadLetterPage, type DeadLetterQuery, type DeadLetterStore, EventingError } from 'nestjs-eventing'; // prettier-ignore
import { connectionError } from '../postgres.errors.js';
import type { Database, Sql } from '../sql/database.js';
import { LETTER_COLUMNS, letterColumns, letterOf, type LetterRow, letterValues } from './letter.row.js';
import { LetterSequences } from './letter.sequences.js';

const CURSOR = /^1:(\d{1,15})$/;
const LARGEST_PAGE = 10_000;

/** Dead letters as rows, oldest first; what they are searched by has columns of its own. */
export class DeadLetterTable implements DeadLetterStore {
  readonly sequences: LetterSequences;
  private readonly inserting: string;

  constructor(
    private readonly database: () => Database,
    private readonly schema: string,
    private readonly service: string,
  ) {
    const columns = LETTER_COLUMNS.map(([name]) => name).join(', ');
    const values = LETTER_COLUMNS.map(([, type], index) => `$${index + 1}::${type}`).join(', ');
    this.inserting = `INSERT INTO ${schema}.dead_letters (${columns}) VALUES (${values}) ON CONFLICT (service, id) DO NOTHING`;
    this.sequences = new LetterSequences(database, schema, service, (sql, letter) => this.insert(sql, letter));
  }

  append(letter: DeadLetter): Promise<void> {
    return this.insert(this.database(), letter);
  }

  private async insert(sql: Sql, letter: DeadLetter): Promise<void> {
    try {
      await sql.query(this.inserting, letterValues(letter, this.service));
    } catch (cause) {
      const why = connectionError(cause).message;
      throw new EventingError(
        'EVT_DEAD_LETTER_FAILED',
        `${this.schema}.dead_letters did not take dead letter ${letter.id}: ${why}`,
        { cause },
      );
    }
  }

  async scan(query: DeadLetterQuery): Promise<DeadLetterPage> {
    const after = this.parse(query.cursor);
    const limit = Math.min(Math.max(1, Math.trunc(query.limit)), LARGEST_PAGE);
    try {
      const { rows } = await this.database().query<LetterRow>(
        `SELECT ${letterColumns(this.schema)} FROM ${this.schema}.dead_letters d
         WHERE d.service = $1 AND d.number > $2 ORDER BY d.number LIMIT $3`,
        [this.service, after, limit + 1],
      );
      const page = rows.slice(0, limit);
      const letters = page.map((row) => letterOf(row, this.service));
      return rows.length > limit ? { letters, cursor: `1:${page.at(-1)?.number ?? after}` } : { letters };
    } catch (error) {
      throw connectionError(error);
    }
  }

  async remove(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    try {
      await this.database().query(
        `DELETE FROM ${this.schema}.dead_letters WHERE service = $1 AND id = ANY($2::text[])`,
        [this.service, ids],
      );
    } catch (error) {
      throw connectionError(error);
    }
  }

  private parse(cursor: string | undefined): number {
    if (cursor === undefined) return 0;
    const match = CURSOR.exec(cursor);
    if (match !== null) return Number(match[1]);
    throw new EventingError(
      'EVT_POSITION',
      'This cursor is not from a page of this dead-letter store. Begin without one.',
    );
  }
}
