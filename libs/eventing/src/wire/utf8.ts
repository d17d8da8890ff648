import { isUtf8 } from 'node:buffer';

/** Decodes UTF-8 and nothing else. @throws TypeError for other bytes: a replacement character would be silent loss. */
export function decodeUtf8(bytes: Uint8Array): string {
  if (!isUtf8(bytes)) throw new TypeError('the bytes are not UTF-8');
  return Buffer.isBuffer(bytes)
    ? bytes.toString('utf8')
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}
