import type { HandledFilter, SentFilter } from 'nestjs-eventing';
import { quotedSchema } from '../sql/schema.name.js';
import { Conditions } from './log.question.js';

export interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}

/** Where a page of the inbox ends: the time as PostgreSQL writes it, and the key of the row. */
export type InboxPlace = readonly [at: string, listener: string, source: string, id: string];

const milliseconds = (column: string): string => `(extract(epoch FROM ${column}) * 1000)::float8`;

/** The position before all others. */
export const BEGIN = '0';

/** Asks the views of the schema. Conditions that were not asked for are not in the text, so that each question has the plan it deserves. */
export class EventLogStatements {
  readonly #schema: string;
  /**
   * Positions ascend with time, nearly, which the planner does not know: it would read all that is older first. The `+ 0` keeps it from
   * doing just that to find the least.
   */
  readonly #firstSince: string;

  constructor(schema: string) {
    this.#schema = quotedSchema(schema);
    this.#firstSince = `position >= coalesce((SELECT min(f.position + 0) FROM ${this.#schema}.outbox f
      WHERE f.service = $1::text AND f.stored_at >= to_timestamp({}::float8 / 1000)), 9223372036854775807)`;
  }

  /** @param after a position */
  sent(service: string, filter: SentFilter, after: string, limit: number): Statement {
    const values: unknown[] = [service, after, limit];
    const conditions = new Conditions(values)
      .add('provider = {}::text', filter.provider)
      .add('outcome = {}::text', filter.outcome)
      .add(this.#firstSince, after === BEGIN && filter.since !== undefined ? Number(filter.since) : undefined)
      .common(filter, 'stored_at');
    const text = `SELECT position::text AS position, provider, channel, recipient, key, id, event, version, outcome, attempts, size,
        error_name, error_code, error_message, ${milliseconds('stored_at')} AS stored_at, ${milliseconds('settled_at')} AS settled_at
      FROM ${this.#schema}.log_sent l WHERE service = $1::text AND position > $2::bigint${String(conditions)}
      ORDER BY l.position LIMIT $3::int`;
    return { text, values };
  }

  /** What the inbox knows to be handled. */
  handled(service: string, filter: HandledFilter, after: InboxPlace | undefined, limit: number): Statement {
    const values: unknown[] = [limit];
    const conditions = new Conditions(values);
    const { listener, error: _, ...rest } = filter;
    // Two services and their listeners may spell one text: "shop" and "eu.Bill", "shop.eu" and "Bill". Rows of before do not know theirs.
    conditions.add('(service = {}::text OR service IS NULL)', service);
    if (listener === undefined)
      // All that begins with the service and a point.
      conditions.add('listener > {}::text', `${service}.`).add('listener < {}::text', `${service}/`);
    else conditions.add('listener = {}::text', `${service}.${listener}`);
    conditions.common(rest, 'handled_at');
    let beyond = '';
    if (after !== undefined) {
      const first = values.push(...after) - 3;
      beyond = ` AND (handled_at, listener, source, id) > ($${first}::timestamptz, $${first + 1}::text, $${first + 2}::text, $${first + 3}::text)`;
    }
    const text = `SELECT listener, event, version, id, source, channel, key, attempts, handled_at::text AS place,
        ${milliseconds('handled_at')} AS at
      FROM ${this.#schema}.inbox WHERE true${String(conditions)}${beyond}
      ORDER BY handled_at, listener, source, id LIMIT $1::int`;
    return { text, values };
  }
}
