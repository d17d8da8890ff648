import { isUtf8 } from 'node:buffer';

/** Decodes UTF-8 and nothing else. @throws TypeError for other bytes: a replacement character would be silent loss. */
export function decodeUtf8(bytes: Uint8Array): string {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = buffer.toString('utf8');
  // Only a text with a replacement character can come of other bytes; it may also be there in its own right.
  if (text.includes('\ufffd') && !isUtf8(bytes)) throw new TypeError('the bytes are not UTF-8');
  return text;
}
