import type { HandledEntry, LogError, SentEntry } from 'nestjs-eventing';
import { at, line } from './shown.text.js';
import { table } from './table.js';

/** As `--json` prints it: times as ISO dates. */
export function sentDocument({ storedAt, settledAt, ...entry }: SentEntry): object {
  return { ...entry, storedAt: at(storedAt), settledAt: settledAt === undefined ? undefined : at(settledAt) };
}

export function handledDocument(entry: HandledEntry): object {
  return { ...entry, at: at(entry.at) };
}

export function sentTable(entries: readonly SentEntry[], width: number): string {
  const rows = entries.map(
    ({ storedAt, outcome, provider, channel, recipient, event, version, key, id, attempts, error }) => [
      at(storedAt),
      outcome,
      line(`${provider}:${channel}${recipient === undefined ? '' : ` → ${recipient}`}`, 60),
      line(nameOf(event, version), 60),
      line(key ?? '', 40),
      line(id, 60),
      String(attempts),
      errorText(error),
    ],
  );
  return table(['STORED AT', 'OUTCOME', 'TO', 'EVENT', 'KEY', 'ID', 'ATTEMPTS', 'ERROR'], rows, width);
}

export function handledTable(entries: readonly HandledEntry[], width: number): string {
  const rows = entries.map(({ at: time, outcome, listener, event, version, key, id, attempts, error }) => [
    at(time),
    outcome,
    line(listener, 60),
    line(nameOf(event, version), 60),
    line(key ?? '', 40),
    line(id ?? '', 60),
    attempts === undefined ? '' : String(attempts),
    errorText(error),
  ]);
  return table(['AT', 'OUTCOME', 'LISTENER', 'EVENT', 'KEY', 'ID', 'ATTEMPTS', 'ERROR'], rows, width);
}

function nameOf(event: string | undefined, version: number | undefined): string {
  return event === undefined || version === undefined || version === 1 ? (event ?? '') : `${event}@${version}`;
}

const errorText = (error: LogError | undefined): string =>
  error === undefined ? '' : line(`${error.code ?? error.name}: ${error.message}`);
