import type { TextMapGetter, TextMapSetter } from '@opentelemetry/api';
import type { EventHeaders } from 'nestjs-eventing';

/** How trace context and baggage travel in an event's headers. */
export const headerCarrier: TextMapGetter<EventHeaders> & TextMapSetter<EventHeaders> = {
  get: (headers, name) => headers.get(name.toLowerCase()),
  keys: (headers) => [...headers].map(([name]) => name),
  set(headers, name, value) {
    try {
      headers.inherit(name.toLowerCase(), value);
    } catch {
      // A propagator of another kind, whose header cannot travel with an event: it must not fail the send.
    }
  },
};
