import secureJson from 'secure-json-parse';
import type { BodySerializer } from './body.serializer.js';
import { decodeUtf8 } from './utf8.js';

/** JSON in UTF-8. Refuses `__proto__` keys (and `constructor.prototype`): they would reach prototypes on the way to a class. */
export const json: BodySerializer = {
  contentType: 'application/json',
  serialize(body) {
    const text = JSON.stringify(body) as string | undefined;
    if (text === undefined) throw new TypeError('it has no JSON form');
    return Buffer.from(text);
  },
  deserialize(bytes) {
    return secureJson.parse(decodeUtf8(bytes), undefined, { protoAction: 'error', constructorAction: 'error' }) as unknown;
  },
};
