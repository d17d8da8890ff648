import { type BodySerializer, type Delivery, EventingError, isHeaderName, isTraceHeader } from 'nestjs-eventing';
import type { WireBinding, WireFormat } from 'nestjs-eventing';

/** How packets of one kind look: spread it into `@Event({ …kafkaPackets() })`, or give it to a transport or client. */
export interface NestPackets {
  readonly wire: WireFormat;
  readonly serializer: BodySerializer;
}

/** Set by a format on what came as a request of Nest's own transport: its sender waits for a reply that we cannot send. */
export const FOREIGN_REQUEST = 'nest-foreign-request';

/** @throws EventingError EVT_UNDECODABLE for bytes that are no UTF-8 */
export function textOf(bytes: Uint8Array, what: string): string {
  try {
    return UTF8.decode(bytes);
  } catch (cause) {
    throw unreadable(`${what} is not UTF-8`, cause);
  }
}

/** One header as text; `undefined` where it is not there. */
export function headerOf(delivery: Delivery, name: string): string | undefined {
  const value = delivery.headers[name];
  if (value === undefined || typeof value === 'string') return value;
  return textOf(value, `its header "${name}"`);
}

/** Those that can be an envelope's headers. The others belong to the transport, or to Nest. */
export function usersHeaders(delivery: Delivery, binding: WireBinding): Map<string, string> {
  const found = new Map<string, string>();
  for (const name of Object.keys(delivery.headers)) {
    if (name === binding.contentTypeHeader || name === FOREIGN_REQUEST) continue;
    if (!isHeaderName(name) && !isTraceHeader(name)) continue;
    found.set(name, headerOf(delivery, name) as string);
  }
  return found;
}

export function unreadable(what: string, cause?: unknown): EventingError {
  return new EventingError('EVT_UNDECODABLE', `The message cannot be read: ${what}.`, { cause });
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
