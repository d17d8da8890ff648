import { isHeaderName, isTraceHeader } from '../envelope/event.headers.js';
import { undecodable } from './cloudevents.attributes.js';
import { decodeUtf8 } from './utf8.js';
import type { WireFormat } from './wire-format.js';

export interface RawOptions {
  /** Name of the one event that lives on the channel. */
  readonly event: string;
  /** Its version. @default 1 */
  readonly version?: number;
  /** Written into `source` of what is read. @default the channel */
  readonly source?: string;
  /** Header that carries a unique id. @default the position in the channel is the id */
  readonly idHeader?: string;
}

/**
 * Reads what other software writes without an envelope, and writes the same: the whole body is the event, the channel says
 * which, headers are headers. Correlation, versions and times do not travel in it.
 */
export function raw(options: RawOptions): WireFormat {
  const { event, version = 1, idHeader } = options;
  const idName = idHeader?.toLowerCase();
  return {
    name: `raw:${event}@${version}`,
    encode(attributes, contentType, userHeaders, binding) {
      const headers: Record<string, string> = { [binding.contentTypeHeader]: contentType };
      if (idHeader !== undefined) headers[idHeader] = attributes.id;
      for (const [name, value] of userHeaders) headers[name] = value;
      return headers;
    },
    decode(delivery, binding) {
      const texts = new Map<string, string>();
      for (const [name, value] of Object.entries(delivery.headers)) {
        const known = name.toLowerCase();
        const ours = known === idName || known === binding.contentTypeHeader || isTraceHeader(known);
        if (!ours && !isHeaderName(known)) continue;
        try {
          texts.set(known, typeof value === 'string' ? value : decodeUtf8(value));
        } catch (cause) {
          throw undecodable(`its header "${known}" is not UTF-8`, cause);
        }
      }
      const given = idName === undefined ? undefined : texts.get(idName);
      const id = given ?? `${delivery.channel}:${delivery.position}`;
      const contentType = texts.get(binding.contentTypeHeader) ?? 'application/json';
      texts.delete(binding.contentTypeHeader);
      if (idName !== undefined) texts.delete(idName);
      return {
        id,
        name: event,
        version,
        source: options.source ?? `/${delivery.channel}`,
        time: delivery.time,
        key: delivery.key,
        correlationId: id,
        causationId: undefined,
        notBefore: undefined,
        expiresAt: undefined,
        contentType,
        headers: texts.size === 0 ? undefined : texts,
        body: delivery.body,
      };
    },
  };
}
