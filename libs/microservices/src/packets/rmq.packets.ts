import { type BodySerializer, type Delivery, type EventDescriptor, json, type WireFormat } from 'nestjs-eventing';
import { addressOf, routeOf } from '../pattern.address.js';
import { routeOfEvent } from '../pattern.packet.js';
import { FOREIGN_REQUEST, type NestPackets, unreadable, usersHeaders } from './nest.packets.js';

/**
 * What `Transport.RMQ` of Nest reads and writes: `{ pattern, data, id? }` as JSON, with the pattern as the event's name. Ids,
 * sources, versions and correlation do not travel in it.
 */
export function rmqPackets(): NestPackets {
  return { wire: rmqWire, serializer: rmqSerializer };
}

const rmqWire: WireFormat = {
  name: 'nest-rmq',
  encode(_attributes, contentType, users, binding) {
    return { [binding.contentTypeHeader]: contentType, ...Object.fromEntries(users) };
  },
  decode(delivery, binding) {
    const { pattern, data, id: request } = packetOf(delivery);
    const headers = usersHeaders(delivery, binding);
    if (request !== undefined) headers.set(FOREIGN_REQUEST, 'rmq');
    const id = `${delivery.channel}:${delivery.position}`;
    return {
      id,
      name: nameOf(pattern),
      version: 1,
      source: `/${delivery.channel}`,
      time: delivery.time,
      key: delivery.key,
      correlationId: id,
      causationId: undefined,
      notBefore: undefined,
      expiresAt: undefined,
      contentType: 'application/json',
      headers,
      body: Buffer.from(JSON.stringify(data ?? null)),
    };
  },
};

/** The event's pattern is inside of the body, so the whole packet is read before it is known who wants it. */
function packetOf(delivery: Delivery): { pattern: unknown; data?: unknown; id?: unknown } {
  let packet: unknown;
  try {
    packet = json.deserialize(delivery.body, undefined as unknown as EventDescriptor);
  } catch (cause) {
    throw unreadable('its packet is not JSON', cause);
  }
  if (typeof packet !== 'object' || packet === null || !('pattern' in packet) || packet.pattern === null)
    throw unreadable('it is no packet of Nest: it has no pattern');
  return packet;
}

/** As a server of Nest does: text may be the JSON of an object. */
function nameOf(pattern: unknown): string {
  let read = pattern;
  if (typeof pattern === 'string')
    try {
      read = JSON.parse(pattern) as unknown;
    } catch {
      // It is what it is: a name.
    }
  try {
    return addressOf(routeOf(read));
  } catch (cause) {
    throw unreadable('its pattern is neither text nor an object', cause);
  }
}

const rmqSerializer: BodySerializer = {
  contentType: 'application/json',
  serialize: (data, event) => json.serialize({ pattern: routeOfEvent(event), data }, event),
  // The wire format has taken the data out.
  deserialize: (bytes, event) => json.deserialize(bytes, event),
};
