import { EventingError, type InboxEntry, type OutgoingMessage, type StagedMessage } from 'nestjs-eventing';
import { type MessageJson, messageFromJson, messageToJson } from '../outbox/message.json.js';
import type { Row } from '../sql/database.js';

/** Longest text of what only people look at. */
const LONGEST = 500;

/** The values of one entry, as text where they are numbers. */
export function entryValues({ listener, source, id, digest, about }: InboxEntry): readonly unknown[] {
  if (about === undefined) return [listener, source, id, digest, null, null, null, null, null, null];
  const { service, event, version, channel, key, attempt } = about;
  const shownKey = key === undefined ? null : short(key);
  const shown = [short(event), String(version), short(channel), shownKey, String(attempt), service ?? null];
  return [listener, source, id, digest, ...shown];
}

/** Several of them, as a JSON array. */
export function entriesJson(entries: readonly InboxEntry[]): string {
  return JSON.stringify(
    entries.map(({ source, id, digest, about }) => ({
      ...{ source, id, digest: Buffer.from(digest).toString('hex') },
      ...(about === undefined ? {} : aboutJson(about)),
    })),
  );
}

/** The key by which rows and entries find each other. */
export const keyOf = ({ source, id }: { readonly source: unknown; readonly id: unknown }): string =>
  JSON.stringify([source, id]);

export function outputsJson(outputs: readonly StagedMessage[]): string {
  return JSON.stringify(outputs.map(({ provider, message }) => ({ provider, ...messageToJson(message) })));
}

/** What was sent then. @throws EventingError EVT_INBOX_CONFLICT where it is known with another body */
export function knownOutputs(row: Row, { listener, source, id, digest }: InboxEntry): readonly StagedMessage[] {
  if (!Buffer.from(row['digest'] as Uint8Array).equals(digest))
    throw new EventingError(
      'EVT_INBOX_CONFLICT',
      `${listener} has handled an event ${id} of ${source} with another body: its sender used one id twice.`,
    );
  const outputs = JSON.parse((row['outputs'] as string | null) ?? '[]') as ({ provider: string } & MessageJson)[];
  return outputs.map(stagedOf);
}

/** Whoever held the entry has rolled back, or its time was over: the next attempt finds it free. */
export function wentMeanwhile({ listener, id }: InboxEntry): EventingError {
  return new EventingError(
    'EVT_TRANSACTION_FAILED',
    `The entry of the event ${id} for ${listener} went meanwhile: it is tried again.`,
  );
}

const aboutJson = ({ service, event, version, channel, key, attempt }: NonNullable<InboxEntry['about']>) => ({
  event: short(event),
  version,
  channel: short(channel),
  key: key === undefined ? null : short(key),
  attempts: attempt,
  service: service ?? null,
});

/** PostgreSQL's text has no NUL. */
function short(text: string): string {
  const clipped = text.length <= LONGEST ? text : `${text.slice(0, LONGEST - 1)}…`;
  return clipped.toWellFormed().replaceAll('\0', '\uFFFD');
}

const stagedOf = ({ provider, ...json }: { provider: string } & MessageJson): StagedMessage => {
  const message: OutgoingMessage = messageFromJson(json);
  return { provider, message };
};
