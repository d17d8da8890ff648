import { type BodySerializer, Event, type EventClass, type EventDescriptor } from 'nestjs-eventing';
import { addressOf } from './pattern.address.js';
import type { NestPackets } from './packets/nest.packets.js';

/** The body of an event that is known by its pattern only: any JSON, since patterns have no class. */
export abstract class PatternPacket {
  data: unknown;
}

const ROUTES = new WeakMap<EventClass, string>();

/** A class for one pattern, so that the kernel can treat it as it treats every event. */
export function packetClass(route: string, channel: string, packets: NestPackets): EventClass<PatternPacket> {
  const type = class extends PatternPacket {};
  // Seen in messages only: the one that needs a name most is that of two classes for one event.
  Object.defineProperty(type, 'name', { value: `Pattern(${route})` });
  Event({ name: addressOf(route), channel, wire: packets.wire, serializer: wrapped(packets.serializer) })(type);
  ROUTES.set(type, route);
  return type;
}

export const isPacketClass = (type: EventClass): boolean => ROUTES.has(type);

/** The pattern that an event is known by: that of its handlers, else its name. */
export const routeOfEvent = (event: EventDescriptor): string => ROUTES.get(event.type) ?? event.name;

/** What a handler is given: the data of a packet, an event of a class of its own as it is. */
export const dataOf = (body: object): unknown => (body instanceof PatternPacket ? body.data : body);

/** Formats know data; the kernel knows objects. */
function wrapped(inner: BodySerializer): BodySerializer {
  return {
    contentType: inner.contentType,
    serialize: (body, event) => inner.serialize((body as PatternPacket).data as object, event),
    deserialize: (bytes, event) => ({ data: inner.deserialize(bytes, event) }),
  };
}
