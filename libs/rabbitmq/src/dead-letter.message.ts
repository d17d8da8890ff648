import type { ConsumeMessage } from 'amqplib';
import {
  type DeadLetter,
  encodeDeadLetter,
  type HeaderValue,
  type RawHeaders,
  type StoredLetter,
} from 'nestjs-eventing';
import { asBuffer, decodeFacts, decodeHeaders, refOf, timeOf } from './message.codec.js';
import type { Parcel } from './parcel.js';

/** The letter's id. */
export const LETTER = 'eventing-letter';
const TOMBSTONE = 'eventing-removed';
const MARK = 'eventing-mark';
/** How many bytes of headers stand before the body. */
const HEADERS_WITHIN = 'eventing-headers-within';
/** The client library encodes at most 64 KiB of headers, and foreign messages may have nearly as many. */
const MOST_HEADER_BYTES = 48 * 1024;
const EMPTY = Buffer.alloc(0);

type Message = Pick<Parcel, 'body' | 'sent'>;

/** Dead letters, their tombstones and marks as messages of a stream. */
export const LetterCodec = {
  letter(letter: DeadLetter, now: number): Message {
    const headers = encodeDeadLetter(letter);
    const body = asBuffer(letter.message.body);
    if (sizeOf(headers) <= MOST_HEADER_BYTES) return message({ ...headers, [LETTER]: letter.id }, body, now);
    const inner = Buffer.from(JSON.stringify(Object.entries(headers).map(asPair)));
    const within = { [LETTER]: letter.id, [HEADERS_WITHIN]: String(inner.length) };
    return message(within, Buffer.concat([inner, body]), now);
  },

  tombstone: (id: string, now: number): Message => message({ [LETTER]: id, [TOMBSTONE]: '1' }, EMPTY, now),

  mark: (mark: string, now: number): Message => message({ [MARK]: mark }, EMPTY, now),

  /** Undefined: it is no letter and no tombstone. */
  idOf({ properties }: ConsumeMessage): string | undefined {
    const id: unknown = properties.headers?.[LETTER];
    return typeof id === 'string' ? id : undefined;
  },

  isTombstone: ({ properties }: ConsumeMessage): boolean => properties.headers?.[TOMBSTONE] !== undefined,

  isMark: ({ properties }: ConsumeMessage, mark: string): boolean => properties.headers?.[MARK] === mark,

  stored(stored: ConsumeMessage): StoredLetter {
    const { [LETTER]: _, [HEADERS_WITHIN]: within, ...headers } = decodeHeaders(stored);
    const { ref } = decodeFacts(stored);
    const time = ref === undefined ? 0 : timeOf(ref);
    const length = Number(within);
    const body = stored.content;
    if (!Number.isSafeInteger(length) || length < 0 || length > body.length) return { headers, body, time };
    return { headers: parse(body.subarray(0, length)), body: body.subarray(length), time };
  },
};

function message(headers: RawHeaders, body: Buffer, now: number): Message {
  return { body, sent: { key: undefined, headers, time: now, ref: refOf(now, 'letter', 0) } };
}

function sizeOf(headers: RawHeaders): number {
  let size = 0;
  for (const [name, value] of Object.entries(headers)) size += Buffer.byteLength(name) + Buffer.byteLength(value) + 8;
  return size;
}

function asPair([name, value]: [string, HeaderValue]): readonly string[] {
  return typeof value === 'string' ? [name, value] : [name, asBuffer(value).toString('base64'), 'bytes'];
}

/** Hostile, as everything on a broker. */
function parse(json: Buffer): RawHeaders {
  const headers: Record<string, HeaderValue> = {};
  try {
    const pairs: unknown = JSON.parse(json.toString('utf8'));
    if (!Array.isArray(pairs)) return {};
    for (const pair of pairs as unknown[]) {
      if (!Array.isArray(pair)) continue;
      const [name, value, kind] = pair as unknown[];
      if (typeof name !== 'string' || typeof value !== 'string' || name === '__proto__') continue;
      headers[name] = kind === 'bytes' ? Buffer.from(value, 'base64') : value;
    }
  } catch {
    // What cannot be read is left out, so that the letter can still be seen and removed.
  }
  return headers;
}
