import {
  EventingError,
  type HandledFilter,
  type LogFilter,
  type LogPaging,
  type ResendFilter,
  type SentFilter,
} from 'nestjs-eventing';

const TEXTS = ['event', 'id', 'key', 'channel', 'error', 'provider', 'listener'] as const;
const TIMES = ['since', 'until'] as const;
const COMMON: readonly string[] = ['event', 'id', 'key', 'channel', 'error', 'since', 'until'];
const LONGEST_TEXT = 500;

/** What else each question knows, and the values it may have. */
const OWN: Readonly<Record<'sent' | 'handled' | 'resend', Readonly<Record<string, readonly string[] | undefined>>>> = {
  sent: { provider: undefined, outcome: ['waiting', 'retrying', 'sent', 'failed'] },
  handled: { listener: undefined, outcome: ['handled', 'failed'] },
  resend: { listener: undefined, of: ['sent', 'handled'] },
};

/**
 * A misspelled field is refused: it would mean all entries.
 * @throws EventingError EVT_INVALID_OPTIONS, naming each field that cannot be used
 */
export function checkFilter(question: keyof typeof OWN, filter: SentFilter | HandledFilter | ResendFilter): void {
  const given = filter as Readonly<Record<string, unknown>>;
  const own = OWN[question];
  const known = [...COMMON, ...Object.keys(own)];
  const problems = Object.keys(given)
    .filter((name) => !known.includes(name))
    .map((name) => `there is no field ${name.slice(0, 100)}: known are ${known.join(', ')}`);
  for (const name of TEXTS) if (given[name] !== undefined && !isText(given[name])) problems.push(`${name} must be text of 1 to ${LONGEST_TEXT} characters, without NUL`); // prettier-ignore
  for (const name of TIMES)
    if (given[name] !== undefined && !Number.isFinite(new Date(given[name] as number).getTime()))
      problems.push(`${name} must be a Date or milliseconds since 1970`);
  for (const [name, values] of Object.entries(own))
    if (values !== undefined && given[name] !== undefined && !values.includes(given[name] as string))
      problems.push(`${name} must be one of ${values.join(', ')}`);
  if (problems.length > 0)
    throw new EventingError('EVT_INVALID_OPTIONS', `A filter of the event log cannot be used: ${problems.join('; ')}.`);
}

/** @throws EventingError EVT_INVALID_OPTIONS */
export function limitOf(page: LogPaging | { readonly limit?: number }, fallback: number, most: number): number {
  const { limit = fallback } = page;
  if (Number.isSafeInteger(limit) && limit >= 1 && limit <= most) return limit;
  throw new EventingError('EVT_INVALID_OPTIONS', `limit must be a whole number from 1 to ${most}, not ${limit}.`);
}

/** Conditions of a statement, and what is bound in them. */
export class Conditions {
  readonly #parts: string[] = [];

  /** @param values those that the statement has already */
  constructor(readonly values: unknown[]) {}

  /** `{}` stands for the value. Nothing where there is none. */
  add(text: string, value: string | number | undefined): this {
    if (value === undefined) return this;
    this.values.push(value);
    this.#parts.push(text.replaceAll('{}', `$${this.values.length}`));
    return this;
  }

  /** What both views have. @param time the column that is meant by a time */
  common({ event, id, key, channel, error, since, until }: LogFilter, time: string): this {
    return this.add(`(event = {}::text OR event || '@' || version = {}::text)`, event)
      .add('id = {}::text', id)
      .add('key = {}::text', key)
      .add('channel = {}::text', channel)
      .add('(error_name = {}::text OR error_code = {}::text)', error)
      .add(`${time} >= to_timestamp({}::float8 / 1000)`, since === undefined ? undefined : Number(since))
      .add(`${time} <= to_timestamp({}::float8 / 1000)`, until === undefined ? undefined : Number(until));
  }

  toString(): string {
    return this.#parts.map((part) => ` AND ${part}`).join('');
  }
}

const isText = (value: unknown): boolean =>
  typeof value === 'string' && value !== '' && value.length <= LONGEST_TEXT && !value.includes('\0');
