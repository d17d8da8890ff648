import { type DeadLetters, EventingError, type HandledEntry, type HandledFilter, type LogPage } from 'nestjs-eventing';
import type { Row } from '../sql/database.js';
import type { EventLogStatements, InboxPlace, Statement } from './event-log.statements.js';
import { LetterPages } from './letter.pages.js';
import { failedEntry, handledEntry, type HandledRow } from './log.entries.js';

export interface HandledSources {
  readonly service: string;
  readonly deadLetters: DeadLetters;
  readonly statements: EventLogStatements;
  readonly query: <R extends Row>(statement: Statement) => Promise<readonly R[]>;
}

/** Where inbox and dead letters go on; null: there is no more of them. */
interface Place {
  readonly inbox: InboxPlace | 'begin' | null;
  /** Empty: from the beginning. */
  readonly letters: string | null;
}

/** One page of two sources, merged by time. Its cursor is exact: nothing is left out or there twice. */
export async function handledPage(
  sources: HandledSources,
  filter: HandledFilter,
  limit: number,
  cursor: string | undefined,
): Promise<LogPage<HandledEntry>> {
  const place = cursor === undefined ? beginOf(filter) : read(cursor);
  const rows = await inboxRows(sources, filter, place.inbox, limit);
  const letters = await letterPages(sources, filter, place.letters, limit);
  const found = letters?.letters ?? [];
  const entries: HandledEntry[] = [];
  let taken = 0;
  let failed = 0;
  while (entries.length < limit) {
    const row = rows[taken];
    const letter = found[failed];
    if (row === undefined && letter === undefined) break;
    if (letter === undefined || (row !== undefined && row.at <= letter.deadAt)) {
      entries.push(handledEntry(row as HandledRow, sources.service));
      taken++;
    } else {
      entries.push(failedEntry(letter));
      failed++;
    }
  }
  const last = rows[taken - 1];
  const rest = await letters?.after(failed);
  const next: Place = {
    inbox: taken === rows.length && rows.length < limit ? null : last === undefined ? place.inbox : placeOf(last),
    letters: rest === undefined ? null : (rest.cursor ?? ''),
  };
  return next.inbox === null && next.letters === null ? { entries } : { entries, cursor: write(next) };
}

/** What was handled has no error. */
function beginOf({ outcome, error }: HandledFilter): Place {
  return {
    inbox: outcome === 'failed' || error !== undefined ? null : 'begin',
    letters: outcome === 'handled' ? null : '',
  };
}

async function inboxRows(
  { service, statements, query }: HandledSources,
  filter: HandledFilter,
  place: Place['inbox'],
  limit: number,
): Promise<readonly HandledRow[]> {
  if (place === null) return [];
  return query<HandledRow>(statements.handled(service, filter, place === 'begin' ? undefined : place, limit));
}

async function letterPages(
  { deadLetters }: HandledSources,
  filter: HandledFilter,
  place: Place['letters'],
  limit: number,
): Promise<LetterPages | undefined> {
  if (place === null) return undefined;
  return LetterPages.read(deadLetters, filter, limit, place === '' ? undefined : place);
}

const placeOf = ({ place, listener, source, id }: HandledRow): InboxPlace => [place, listener, source, id];

function write({ inbox, letters }: Place): string {
  return Buffer.from(JSON.stringify([inbox, letters])).toString('base64url');
}

const TIME = /^\d{4,6}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?[+-]\d\d(?::\d\d){0,2}$/;

function read(cursor: string): Place {
  try {
    const place: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    if (Array.isArray(place) && place.length === 2) {
      const [inbox, letters] = place as readonly unknown[];
      if ((letters === null || typeof letters === 'string') && isInboxPlace(inbox)) return { inbox, letters };
    }
  } catch {
    // Said below.
  }
  throw new EventingError(
    'EVT_INVALID_OPTIONS',
    `"${cursor.slice(0, 100)}" is no cursor of what was handled: pass one on as it came, or begin without.`,
  );
}

function isInboxPlace(value: unknown): value is Place['inbox'] {
  if (value === null || value === 'begin') return true;
  if (!Array.isArray(value) || value.length !== 4) return false;
  const [time] = value as readonly unknown[];
  return value.every((part) => typeof part === 'string' && !part.includes('\0')) && TIME.test(time as string);
}
