import type { HistoryRecord } from './history.record.js';

type Kind = HistoryRecord['kind'];
/** A test of one field: its name for an error, and whether it may be missing. */
interface Field {
  readonly wanted: string;
  readonly optional: boolean;
  fits(value: unknown): boolean;
}

const text: Field = { wanted: 'a text', optional: false, fits: (value) => typeof value === 'string' };
const number: Field = { wanted: 'a number', optional: false, fits: Number.isFinite };
const maybe = (field: Field): Field => ({ ...field, optional: true });
const oneOf = (...words: readonly string[]): Field => ({
  wanted: words.join(' or '),
  optional: false,
  fits: (value) => words.includes(value as string),
});

const NAME = { channel: text, event: text };
const FACTS = { ...NAME, key: maybe(text), sequence: maybe(number), message: maybe(text) };
const DONE = { at: number, process: text };
const CALL = { ...NAME, ...DONE, listener: text };

const FIELDS: Readonly<Record<Kind, Readonly<Record<string, Field>>>> = {
  send: { ...FACTS, ...DONE, transaction: maybe(text) },
  answer: { ...NAME, ...DONE, outcome: oneOf('acknowledged', 'refused', 'indeterminate') },
  transaction: { ...DONE, transaction: text, state: oneOf('committing', 'committed', 'rolled back') },
  row: { transaction: text },
  published: FACTS,
  started: { ...FACTS, ...DONE, listener: text, attempt: maybe(number) },
  ended: CALL,
  failed: CALL,
  effect: { ...NAME, listener: text, message: maybe(text) },
  inbox: { listener: text, message: text },
  outbox: { ...NAME, message: maybe(text), state: oneOf('waiting', 'retrying', 'failed', 'sent') },
  fault: {
    fault: oneOf('killed', 'stopped', 'cut off'),
    process: maybe(text),
    what: maybe(text),
    from: number,
    to: number,
  },
  read: { what: oneOf('rows', 'published', 'effects', 'inbox', 'outbox') },
  mark: { ...DONE, mark: text },
};

/** One line of a history. What a record does not know is passed over. @throws Error that says what is wrong with the line */
export function parseRecord(line: string): HistoryRecord {
  const found = jsonOf(line);
  if (typeof found !== 'object' || found === null || Array.isArray(found)) throw new Error('it is no object');
  const record = found as Readonly<Record<string, unknown>>;
  const kind = String(record['kind']);
  const fields = Object.hasOwn(FIELDS, kind) ? FIELDS[kind as Kind] : undefined;
  if (fields === undefined)
    throw new Error(`its kind "${kind.slice(0, 40)}" is none of ${Object.keys(FIELDS).join(', ')}`);
  for (const [name, { wanted, optional, fits }] of Object.entries(fields)) {
    const value = record[name];
    if (value === undefined ? !optional : !fits(value)) throw new Error(`the ${name} of a "${kind}" must be ${wanted}`);
  }
  return record as unknown as HistoryRecord;
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new Error('it is no JSON', { cause });
  }
}
