import { KafkaHeaders } from '@nestjs/microservices';
import { KafkaRequestSerializer } from '@nestjs/microservices/serializers/index.js';
import { type BodySerializer, json, type WireFormat } from 'nestjs-eventing';
import { FOREIGN_REQUEST, headerOf, type NestPackets, textOf, usersHeaders } from './nest.packets.js';

export interface KafkaPacketOptions {
  /** Name of the one event that lives on the channel. @default the channel, as the topic is the pattern in Nest */
  readonly event?: string;
}

/**
 * What `Transport.KAFKA` of Nest reads and writes (`KafkaRequestSerializer`, `KafkaParser`): the topic is the pattern, the
 * value is the data, headers are headers. Ids, sources and versions do not travel in it; a correlation id does.
 */
export function kafkaPackets(options: KafkaPacketOptions = {}): NestPackets {
  return { wire: kafkaWire(options.event), serializer: kafkaSerializer };
}

function kafkaWire(event: string | undefined): WireFormat {
  return {
    name: event === undefined ? 'nest-kafka' : `nest-kafka:${event}`,
    encode(attributes, _contentType, users) {
      const headers: Record<string, string> = Object.fromEntries(users);
      // Nest takes it for a request only where a reply topic stands beside it.
      if (attributes.correlationId !== attributes.id) headers[KafkaHeaders.CORRELATION_ID] = attributes.correlationId;
      return headers;
    },
    decode(delivery, binding) {
      const headers = usersHeaders(delivery, binding);
      if (headerOf(delivery, KafkaHeaders.REPLY_TOPIC) !== undefined) headers.set(FOREIGN_REQUEST, 'kafka');
      const id = `${delivery.channel}:${delivery.position}`;
      const correlationId = headerOf(delivery, KafkaHeaders.CORRELATION_ID);
      return {
        id,
        name: event ?? delivery.channel,
        version: 1,
        source: `/${delivery.channel}`,
        time: delivery.time,
        key: delivery.key,
        correlationId: correlationId === undefined || correlationId === '' ? id : correlationId,
        causationId: undefined,
        notBefore: undefined,
        expiresAt: undefined,
        contentType: headerOf(delivery, binding.contentTypeHeader) ?? 'application/json',
        headers,
        body: delivery.body,
      };
    },
  };
}

const nest = new KafkaRequestSerializer();

/** Nest's own rule of what is JSON, what is text and what is bytes. */
const kafkaSerializer: BodySerializer = {
  contentType: 'application/json',
  serialize(data: unknown, event) {
    // Nest would write a tombstone, which deletes in a compacted topic.
    if (data === undefined || data === null) throw new TypeError('a packet without data has no value');
    const isPlain = Object.getPrototypeOf(data) === Object.prototype;
    if (isPlain || Array.isArray(data)) return json.serialize(data, event);
    return Buffer.from(nest.encode(data) as string | Buffer);
  },
  deserialize(bytes, event) {
    // A leading zero byte is the mark of a schema registry's bytes, which Nest does not touch.
    if (bytes[0] === 0) return Buffer.from(bytes);
    const [first] = bytes;
    // Where Nest would hand on text that is no JSON after all, a half-written object would look like a good one.
    if (first === BRACE || first === BRACKET) return json.deserialize(bytes, event);
    return textOf(bytes, 'its value');
  },
};

const BRACE = 0x7b;
const BRACKET = 0x5b;
