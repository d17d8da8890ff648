import type { HeaderValue, RawHeaders } from '../provider/event-provider.js';
import { decodeUtf8 } from '../wire/utf8.js';
import type { DeadLetterMessage } from './dead-letter.message.js';
import type { FoundDeadLetter } from './dead-letter.scanner.js';

/** A body as a person can look at it. */
export type ShownBody =
  /** Read by the event's serializer; or it is JSON. */
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'bytes'; readonly base64: string };

/** A dead letter with all that can be read of it. */
export interface DeadLetterView {
  readonly letter: FoundDeadLetter;
  /** Headers as text; what is no UTF-8 as `base64:…`. */
  readonly headers: Readonly<Record<string, string>>;
  /** What the message says of itself, where it can be read here. Times in milliseconds since 1970. */
  readonly envelope?: {
    readonly source: string;
    readonly correlationId: string;
    readonly causationId?: string;
    readonly notBefore?: number;
    readonly expiresAt?: number;
    readonly contentType: string;
  };
  readonly body: ShownBody;
  /** Bytes of the body. */
  readonly size: number;
}

/** Never fails: what cannot be read is shown as it is. */
export function viewOf(letter: FoundDeadLetter, message: DeadLetterMessage): DeadLetterView {
  const { body, headers } = letter.message;
  const shown = { letter, headers: textsOf(headers), size: body.byteLength };
  try {
    const decoded = message.decode();
    const { source, correlationId, causationId, notBefore, expiresAt, contentType } = decoded;
    const envelope = {
      source,
      correlationId,
      contentType,
      ...(causationId === undefined ? {} : { causationId }),
      ...(notBefore === undefined ? {} : { notBefore }),
      ...(expiresAt === undefined ? {} : { expiresAt }),
    };
    return { ...shown, envelope, body: attempt(() => message.value(decoded, message.eventOf(decoded))) ?? asIs(body) };
  } catch {
    return { ...shown, body: asIs(body) };
  }
}

function attempt(read: () => unknown): ShownBody | undefined {
  try {
    return { kind: 'value', value: read() };
  } catch {
    return undefined;
  }
}

function asIs(body: Uint8Array): ShownBody {
  const text = textOf(body);
  if (text === undefined) return { kind: 'bytes', base64: Buffer.from(body).toString('base64') };
  return attempt(() => JSON.parse(text) as unknown) ?? { kind: 'text', text };
}

function textsOf(headers: RawHeaders): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, headerText(value)]));
}

function headerText(value: HeaderValue): string {
  if (typeof value === 'string') return value;
  return textOf(value) ?? `base64:${Buffer.from(value).toString('base64')}`;
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return decodeUtf8(bytes);
  } catch {
    return undefined;
  }
}
