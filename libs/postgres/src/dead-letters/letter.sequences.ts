import { type DeadLetter, type DeadLetterSequences, type LetterRelease, type ReleasedLetter, type ReleaseOutcome, type SequenceKey } from 'nestjs-eventing'; // prettier-ignore
import { connectionError } from '../postgres.errors.js';
import type { Database, Sql } from '../sql/database.js';
import { LETTER_COLUMNS, letterColumns, letterOf, type LetterRow, letterValues, sequenceName } from './letter.row.js';

/** What a letter that failed again keeps: what it is known by, and where it stands. All else it has anew. */
const KEPT = ['id', 'service', 'sequence'];
const isAnew = (_: unknown, index: number): boolean => !KEPT.includes(LETTER_COLUMNS[index]?.[0] ?? '');

/**
 * Dead letters in the order of their keys. Whatever changes a row, or depends on whether there is one, holds a lock of that row until it has
 * committed: the last letter that leaves and one more that comes see each other.
 */
export class LetterSequences implements DeadLetterSequences {
  private readonly table: string;
  private readonly columns: string;
  private readonly replacing: string;

  constructor(
    private readonly database: () => Database,
    private readonly schema: string,
    private readonly service: string,
    private readonly insert: (sql: Sql, letter: DeadLetter) => Promise<void>,
  ) {
    this.table = `${schema}.dead_letters`;
    this.columns = letterColumns(schema);
    const changes = LETTER_COLUMNS.filter(isAnew).map(([name, type], index) => `${name} = $${index + 4}::${type}`);
    this.replacing = `UPDATE ${this.table} SET ${changes.join(', ')}, is_released = false, released_after = NULL
      WHERE service = $1 AND id = $2 AND is_released AND releases = $3`;
  }

  /** One read, unless there is a row. */
  async park(key: SequenceKey, letter: () => DeadLetter): Promise<boolean> {
    const sequence = sequenceName(key);
    if (!(await this.attempt(() => this.hasRow(this.database(), sequence)))) return false;
    return this.alone(sequence, async (sql) => {
      if (!(await this.hasRow(sql, sequence))) return false;
      await this.insert(sql, { ...letter(), sequence: 'waiting' });
      return true;
    });
  }

  async release(id: string): Promise<ReleaseOutcome> {
    const sequence = await this.attempt(() => this.sequenceOf(id));
    if (sequence === undefined) return { kind: 'gone' };
    return this.alone(sequence, async (sql) => {
      const found = await sql.query<{ first: string; there: boolean }>(
        `SELECT f.id AS first, EXISTS (SELECT 1 FROM ${this.table} WHERE service = $1 AND id = $3 AND sequence = $2) AS there
         FROM ${this.table} f WHERE f.service = $1 AND f.sequence = $2 ORDER BY f.number LIMIT 1`,
        [this.service, sequence, id],
      );
      const [row] = found.rows;
      if (row?.there !== true) return { kind: 'gone' };
      if (row.first !== id) return { kind: 'behind', first: row.first };
      const { rows } = await sql.query<{ releases: string | number }>(
        `UPDATE ${this.table} SET releases = releases + 1, is_released = true, released_after = NULL
         WHERE service = $1 AND id = $2 RETURNING releases`,
        [this.service, id],
      );
      return { kind: 'released', number: Number(rows[0]?.releases) };
    });
  }

  async isCurrent({ letter, number }: LetterRelease): Promise<boolean> {
    const { rows } = await this.attempt(() =>
      this.database().query(
        `SELECT 1 FROM ${this.table} WHERE service = $1 AND id = $2 AND is_released AND releases = $3`,
        [this.service, letter, number],
      ),
    );
    return rows.length > 0;
  }

  advance(key: SequenceKey, { letter, number }: LetterRelease): Promise<ReleasedLetter | undefined> {
    const sequence = sequenceName(key);
    return this.alone(sequence, async (sql) => {
      const gone = await sql.query(
        `DELETE FROM ${this.table} WHERE service = $1 AND sequence = $2 AND id = $3 AND is_released AND releases = $4`,
        [this.service, sequence, letter, number],
      );
      // Where it was gone before, only what followed it then may have to be sent again.
      const { rows } = await sql.query<LetterRow & { readonly releases: string | number }>(
        `UPDATE ${this.table} d SET releases = d.releases + 1, is_released = true, released_after = $3
         WHERE d.number = (SELECT number FROM ${this.table} WHERE service = $1 AND sequence = $2 ORDER BY number LIMIT 1)
           AND ($4 OR (d.is_released AND d.released_after = $3))
         RETURNING d.releases, ${this.columns}`,
        [this.service, sequence, letter, gone.affected > 0],
      );
      const [next] = rows;
      return next && { letter: letterOf(next, this.service), number: Number(next.releases) };
    });
  }

  async failed(letter: DeadLetter, { number }: LetterRelease): Promise<void> {
    await this.attempt(() =>
      this.database().query(this.replacing, [
        this.service,
        ...[letter.id, number],
        ...letterValues(letter, this.service).filter(isAnew),
      ]),
    );
  }

  private async hasRow(sql: Sql, sequence: string): Promise<boolean> {
    const { rows } = await sql.query(`SELECT 1 FROM ${this.table} WHERE service = $1 AND sequence = $2 LIMIT 1`, [
      this.service,
      sequence,
    ]);
    return rows.length > 0;
  }

  private async sequenceOf(id: string): Promise<string | undefined> {
    const { rows } = await this.database().query<{ sequence: string | null }>(
      `SELECT sequence FROM ${this.table} WHERE service = $1 AND id = $2`,
      [this.service, id],
    );
    return rows[0]?.sequence ?? undefined;
  }

  /** The lock is a statement of its own: what follows sees what was committed before it was had. */
  private alone<T>(sequence: string, work: (sql: Sql) => Promise<T>): Promise<T> {
    return this.attempt(() =>
      this.database().transaction(async (sql) => {
        await sql.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [
          `nestjs-eventing ${this.schema} ${this.service} ${sequence}`,
        ]);
        return work(sql);
      }),
    );
  }

  private async attempt<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw connectionError(error);
    }
  }
}
