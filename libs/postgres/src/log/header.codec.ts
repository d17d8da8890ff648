import type { HeaderValue, RawHeaders } from 'nestjs-eventing';

/** Headers as the JSON of their column: text as it is, bytes as `{ "base64": "…" }`. */
export function encodeHeaders(headers: RawHeaders): string {
  // Mostly there is nothing to change.
  for (const name in headers) if (typeof headers[name] !== 'string') return encodedBytes(headers);
  return JSON.stringify(headers);
}

/** Hostile: what is neither text nor bytes is shown as its JSON. */
export function decodeHeaders(stored: unknown): RawHeaders {
  if (typeof stored !== 'object' || stored === null) return {};
  const given = stored as Readonly<Record<string, unknown>>;
  for (const name in given) if (typeof given[name] !== 'string') return decodedBytes(given);
  return given as RawHeaders;
}

function encodedBytes(headers: RawHeaders): string {
  const encoded = Object.entries(headers).map(([name, value]) =>
    typeof value === 'string' ? [name, value] : [name, { base64: asBuffer(value).toString('base64') }],
  );
  return JSON.stringify(Object.fromEntries(encoded));
}

function decodedBytes(given: Readonly<Record<string, unknown>>): RawHeaders {
  const headers: Record<string, HeaderValue> = {};
  for (const [name, value] of Object.entries(given)) {
    const bytes: unknown = typeof value === 'object' && value !== null && 'base64' in value ? value.base64 : undefined;
    if (typeof value === 'string') headers[name] = value;
    else headers[name] = typeof bytes === 'string' ? Buffer.from(bytes, 'base64') : JSON.stringify(value);
  }
  return headers;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
