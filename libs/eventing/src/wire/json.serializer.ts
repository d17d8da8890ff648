import secureJson from 'secure-json-parse';
import type { BodySerializer } from './body.serializer.js';
import { decodeUtf8 } from './utf8.js';

/** JSON in UTF-8. Refuses `__proto__` keys (and `constructor.prototype`): they would reach prototypes on the way to a class. */
export const json: BodySerializer = {
  contentType: 'application/json',
  serialize(body) {
    const text = JSON.stringify(body) as string | undefined;
    if (text === undefined) throw new TypeError('it has no JSON form');
    // What nobody would read must not be sent.
    if (text.includes(DANGEROUS)) parseSafely(text);
    return Buffer.from(text);
  },
  deserialize(bytes) {
    const text = decodeUtf8(bytes);
    // A dangerous key can only be spelled with one of these. Most bodies have none, and need no closer look.
    if (!text.includes(DANGEROUS) && !text.includes('\\u')) return JSON.parse(text) as unknown;
    return parseSafely(text);
  },
};

/** In `__proto__`, and in the `prototype` without which a `constructor` is harmless. */
const DANGEROUS = 'proto';

const parseSafely = (text: string): unknown =>
  secureJson.parse(text, undefined, { protoAction: 'error', constructorAction: 'error' }) as unknown;
