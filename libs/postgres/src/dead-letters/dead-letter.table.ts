import { type DeadLetter, type DeadLetterPage, type DeadLetterQuery, type DeadLetterReason, type DeadLetterStore, EventingError } from 'nestjs-eventing'; // prettier-ignore
import { decodeHeaders, encodeHeaders } from '../log/header.codec.js';
import { connectionError } from '../postgres.errors.js';
import type { Database } from '../sql/database.js';

const CURSOR = /^1:(\d{1,15})$/;
const LARGEST_PAGE = 10_000;
const MAX_STACK = 4_096;
const MAX_TEXT = 2_048;

interface LetterRow extends Record<string, unknown> {
  readonly number: string | number;
  readonly id: string;
  readonly listener: string;
  readonly channel: string;
  readonly reason: string;
  readonly error_name: string;
  readonly error_code: string | null;
  readonly error_message: string;
  readonly error_stack: string | null;
  readonly attempts: number;
  readonly first_failed_at: string | number;
  readonly dead_at: string | number;
  readonly event_name: string | null;
  readonly event_version: number | null;
  readonly event_id: string | null;
  readonly key: string | null;
  readonly headers: unknown;
  readonly body: Uint8Array;
  readonly time: string | number;
  readonly position: string;
}

/** Dead letters as rows, oldest first; what they are searched by has columns of its own. */
export class DeadLetterTable implements DeadLetterStore {
  constructor(
    private readonly database: () => Database,
    private readonly schema: string,
    private readonly service: string,
  ) {}

  async append(letter: DeadLetter): Promise<void> {
    const { error, event, message } = letter;
    try {
      await this.database().query(
        `INSERT INTO ${this.schema}.dead_letters (id, service, listener, channel, reason, error_name, error_code, error_message,
           error_stack, attempts, first_failed_at, dead_at, event_name, event_version, event_id, key, headers, body, time, position)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17::json, $18, $19, $20)
         ON CONFLICT (service, id) DO NOTHING`,
        [
          letter.id,
          this.service,
          clip(letter.listener),
          clip(letter.channel),
          letter.reason,
          clip(error.name),
          optional(error.code),
          clip(error.message),
          error.stack === undefined ? null : clip(error.stack, MAX_STACK),
          letter.attempts,
          Math.trunc(letter.firstFailedAt),
          Math.trunc(letter.deadAt),
          optional(event?.name),
          event?.version ?? null,
          optional(event?.id),
          message.key ?? null,
          encodeHeaders(message.headers),
          message.body,
          Math.trunc(message.time),
          clip(message.position),
        ],
      );
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
        `SELECT number, id, listener, channel, reason, error_name, error_code, error_message, error_stack, attempts,
           first_failed_at, dead_at, event_name, event_version, event_id, key, headers, body, time, position
         FROM ${this.schema}.dead_letters WHERE service = $1 AND number > $2 ORDER BY number LIMIT $3`,
        [this.service, after, limit + 1],
      );
      const page = rows.slice(0, limit);
      const letters = page.map((row) => this.letterOf(row));
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

  private letterOf(row: LetterRow): DeadLetter {
    const { error_code: code, error_stack: stack, event_name: name, event_version: version, event_id: eventId } = row;
    return {
      id: row.id,
      service: this.service,
      listener: row.listener,
      channel: row.channel,
      reason: row.reason as DeadLetterReason,
      error: {
        name: row.error_name,
        message: row.error_message,
        ...(code === null ? {} : { code }),
        ...(stack === null ? {} : { stack }),
      },
      attempts: row.attempts,
      firstFailedAt: Number(row.first_failed_at),
      deadAt: Number(row.dead_at),
      ...(name === null || version === null || eventId === null ? {} : { event: { name, version, id: eventId } }),
      message: {
        key: row.key ?? undefined,
        headers: decodeHeaders(row.headers),
        body: row.body,
        time: Number(row.time),
        position: row.position,
      },
    };
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

function optional(text: string | undefined): string | null {
  return text === undefined ? null : clip(text);
}

/** PostgreSQL's text has no NUL. */
function clip(text: string, most = MAX_TEXT): string {
  const clipped = text.length <= most ? text : `${text.slice(0, most - 1)}…`;
  return clipped.replaceAll('\0', '\uFFFD');
}
