import type { Delivery } from '../provider/event-provider.js';
import { type CloudEventAttributes, complete, noAttributes, undecodable } from './cloudevents.attributes.js';
import { json } from './json.serializer.js';
import type { DecodedMessage } from './wire-format.js';

export function isStructured(contentType: string): boolean {
  return /^application\/cloudevents\+json\s*(?:;|$)/i.test(contentType);
}

/** Reads structured mode, where attributes and data are one JSON document: what much foreign software writes. */
export function decodeStructured(delivery: Delivery, headers: Map<string, string> | undefined): DecodedMessage {
  let document: unknown;
  try {
    document = (json.deserialize as (bytes: Uint8Array) => unknown)(delivery.body);
  } catch (cause) {
    throw undecodable('its CloudEvents document is not JSON', cause);
  }
  if (typeof document !== 'object' || document === null) throw undecodable('its CloudEvents document is not an object');
  const { data, data_base64: base64, ...attributes } = document as Record<string, unknown>;
  const found: CloudEventAttributes & Record<string, string | undefined> = { ...noAttributes() };
  for (const [name, value] of Object.entries(attributes))
    if (typeof value === 'string' || typeof value === 'number') found[name] = String(value);
  const body = typeof base64 === 'string' ? Buffer.from(base64, 'base64') : Buffer.from(JSON.stringify(data ?? null));
  return complete(found, delivery, headers, body);
}
