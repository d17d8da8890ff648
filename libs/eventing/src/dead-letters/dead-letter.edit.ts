import { createHash } from 'node:crypto';
import { Envelope } from '../envelope/envelope.js';
import { EventHeaders } from '../envelope/event.headers.js';
import { EventingError } from '../errors/eventing.error.js';
import type { OutgoingMessage } from '../provider/event-provider.js';
import type { ProviderHost } from '../provider/provider.host.js';
import { encodeEnvelope } from '../send/envelope.encoder.js';
import { derivedId } from '../send/event.ids.js';
import type { DeadLetterMessage } from './dead-letter.message.js';
import type { FoundDeadLetter } from './dead-letter.scanner.js';

/** What becomes different. At least one of them. */
export interface DeadLetterEdit {
  /** A whole new body. Not beside `merge`. */
  readonly body?: object;
  /** Fields of the old body that change, as a JSON merge patch (RFC 7396): `null` takes one away. */
  readonly merge?: object;
  /** Headers that change; `undefined` takes one away. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
}

/**
 * The edited event as it is to be sent: validated against its class, with an id of its own that the same edit of the same letter
 * has again, and the old event as its cause. It does not expire and is due at once.
 *
 * @throws EventingError EVT_DEAD_LETTER_BODY, EVT_INVALID_OPTIONS, EVT_INVALID_EVENT, EVT_INVALID_HEADER, EVT_BODY_TOO_LARGE
 */
export async function editedMessage(
  letter: FoundDeadLetter,
  message: DeadLetterMessage,
  edit: DeadLetterEdit,
  from: { readonly host: ProviderHost; readonly service: string; readonly now: number },
): Promise<OutgoingMessage> {
  checkEdit(edit);
  const decoded = message.decode();
  const event = message.eventOf(decoded);
  const body = edit.body ?? patched(message.value(decoded, event), edit.merge);
  const headers = EventHeaders.of(new Map(decoded.headers));
  for (const [name, value] of Object.entries(edit.headers ?? {})) headers.set(name, value);
  const changesBody = edit.body !== undefined || edit.merge !== undefined;
  const encode = async (id: string): Promise<OutgoingMessage> => {
    const envelope = new Envelope(
      {
        id,
        name: event.name,
        version: event.version,
        source: `/${from.service}`,
        time: from.now,
        key: changesBody && event.keyed ? event.keyOf(body as object) : letter.message.key,
        correlationId: decoded.correlationId,
        causationId: decoded.id,
        notBefore: undefined,
        expiresAt: undefined,
      },
      body as object,
      headers,
    );
    return encodeEnvelope(envelope, event, from.host.provider.binding, from.host.maxBodyBytes);
  };
  try {
    const { body: bytes } = await encode(letter.id);
    // Repeated after a crash in between, the edit sends the same event.
    const digest = createHash('sha256').update(bytes).digest('base64url');
    const sent = await encode(derivedId(letter.id, digest, JSON.stringify([...headers].sort())));
    return { ...sent, channel: letter.channel, to: letter.listener };
  } catch (cause) {
    if (!(cause instanceof EventingError)) throw cause;
    throw new EventingError(cause.code, `Dead letter ${letter.id} was not edited: ${cause.message}`, { cause });
  }
}

function checkEdit({ body, merge, headers }: DeadLetterEdit): void {
  const refuse = (why: string): never => {
    throw new EventingError('EVT_INVALID_OPTIONS', `An edit of a dead letter cannot be used: ${why}.`);
  };
  if (body === undefined && merge === undefined && headers === undefined)
    refuse('it changes nothing: give body, merge or headers');
  if (body !== undefined && merge !== undefined) refuse('body and merge exclude each other');
  for (const [name, value] of Object.entries({ body, merge, headers }))
    if (value !== undefined && (typeof value !== 'object' || value === null || Array.isArray(value)))
      refuse(`${name} must be an object`);
}

/** RFC 7396. What the event's validator makes of it decides. */
function patched(value: unknown, patch: unknown): unknown {
  if (patch === undefined || !isObject(patch)) return patch === undefined ? value : patch;
  const result: Record<string, unknown> = isObject(value) ? { ...value } : {};
  for (const [name, change] of Object.entries(patch)) {
    // Would reach the prototype of what is made of it.
    if (name === '__proto__') continue;
    if (change === null) delete result[name];
    else result[name] = patched(result[name], change);
  }
  return result;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
