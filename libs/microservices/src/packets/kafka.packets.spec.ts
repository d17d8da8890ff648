import { KafkaRequestDeserializer } from '@nestjs/microservices/deserializers/kafka-request.deserializer.js';
import { KafkaRequestSerializer } from '@nestjs/microservices/serializers/index.js';
import { Controller } from '@nestjs/common';
import { EventPattern, KafkaParser, MessagePattern, Payload } from '@nestjs/microservices';
import {
  type Delivery,
  Event,
  type EventDescriptor,
  EventListener,
  memory,
  type WireAttributes,
} from 'nestjs-eventing';
import { describe, expect, it } from 'vitest';
import { contextOf, refusalOf } from '../../../eventing/src/kernel.fixture.js';
import { BINDING, ScriptedDelivery } from '../../../eventing/src/scripted.provider.fixture.js';
import { HybridApp, World } from '../microservices.fixture.js';
import { kafkaPackets } from './kafka.packets.js';

const { wire, serializer } = kafkaPackets();
const event = {} as EventDescriptor;

/** As `ServerKafka` and `ClientKafka` see a record. */
const nest = {
  write: (data: unknown): { value: string | Buffer | null; headers: object } =>
    new KafkaRequestSerializer().serialize(data) as never,
  read: (value: Uint8Array, headers: object = {}): unknown => {
    const raw: unknown = new KafkaParser().parse({ value: Buffer.from(value), headers, key: null });
    return (new KafkaRequestDeserializer().deserialize(raw, { channel: 'orders' }) as { data: unknown }).data;
  },
};

/** Each kind of data that a controller may get. */
const DATA: readonly unknown[] = [
  { orderId: 'a', lines: [{ article: 'ü', count: 1 }] },
  [1, 'two', null, { three: 3 }],
  [],
  {},
  'plain text',
  '',
  'ünï 💥',
];

const delivery = (parts: Partial<Delivery> = {}): Delivery =>
  new ScriptedDelivery('orders', { headers: {}, ...parts }, 7);

describe('Kafka packets', () => {
  it.each(DATA)('are read by Nest as they were written: %j', (data) => {
    expect(nest.read(serializer.serialize(data as object, event))).toEqual(data);
  });

  it.each(DATA)('of Nest are read as they were written: %j', (data) => {
    const { value } = nest.write(data);
    expect(serializer.deserialize(Buffer.from(value ?? ''), event)).toEqual(data);
  });

  it.each([7, true, 1n, new Date(0)])('of other values are text, as in Nest: %s', (data) => {
    const ours = Buffer.from(serializer.serialize(data as object, event)).toString();
    expect(ours).toBe(nest.write(data).value);
    expect(serializer.deserialize(Buffer.from(ours), event)).toBe(nest.read(Buffer.from(ours)));
  });

  it('of a class are its JSON, as in Nest', () => {
    class Order {
      orderId = 'a';
    }
    expect(Buffer.from(serializer.serialize(new Order(), event)).toString()).toBe(nest.write(new Order()).value);
  });

  it('of bytes are those bytes; a leading zero byte keeps Nest, and us, from reading them', () => {
    const bytes = Buffer.from([0, 1, 2, 255]);
    expect(Buffer.from(serializer.serialize(bytes, event))).toEqual(bytes);
    expect(serializer.deserialize(bytes, event)).toEqual(nest.read(bytes));
  });

  it.each([undefined, null])('without data are not written: it would be a tombstone', (data) => {
    expect(() => serializer.serialize(data as never, event)).toThrow('no value');
  });

  it.each(['{"orderId":', '[1,', '{"__proto__":{"admin":true}}'])(
    'that are broken or dangerous are not read: %s',
    (text) => {
      expect(() => serializer.deserialize(Buffer.from(text), event)).toThrow(/JSON|forbidden/);
    },
  );

  it('that are no UTF-8 are not read', () => {
    expect(refusalOf(() => serializer.deserialize(Buffer.from([0x61, 0xff]), event)).code).toBe('EVT_UNDECODABLE');
    const headers = { tenant: Buffer.from([0xff]) };
    expect(refusalOf(() => wire.decode(delivery({ headers }), BINDING)).code).toBe('EVT_UNDECODABLE');
  });

  it('have the topic as their pattern, the record as their id, and headers that can be an envelope’s', () => {
    const headers = {
      tenant: Buffer.from('acme'),
      kafka_correlationId: Buffer.from('c1'),
      'X-Other': 'not ours',
      'content-type': 'application/json',
      __proto__x: 'a',
    };
    const message = wire.decode(delivery({ headers, key: 'k', time: 5 }), BINDING);
    expect(message).toMatchObject({
      id: 'orders:0@7',
      name: 'orders',
      version: 1,
      source: '/orders',
      time: 5,
      key: 'k',
      correlationId: 'c1',
    });
    expect(Object.fromEntries(message.headers ?? [])).toEqual({ tenant: 'acme', __proto__x: 'a' });
    expect(kafkaPackets({ event: 'orders.placed' }).wire.decode(delivery(), BINDING).name).toBe('orders.placed');
    expect(wire.decode(delivery({ headers: { kafka_correlationId: '' } }), BINDING).correlationId).toBe('orders:0@7');
  });

  it('write headers only that somebody asked for', () => {
    const attributes = { id: 'e1', correlationId: 'e1' } as WireAttributes;
    expect(wire.encode(attributes, 'application/json', [], BINDING)).toEqual({});
    expect(
      wire.encode({ ...attributes, correlationId: 'c1' }, 'application/json', [['tenant', 'acme']], BINDING),
    ).toEqual({
      tenant: 'acme',
      kafka_correlationId: 'c1',
    });
  });
});

describe('an application that reads Kafka packets', () => {
  @Event({ name: 'orders.placed', key: 'orderId', ...kafkaPackets() })
  class OrderPlaced {
    orderId!: string;
  }

  async function publish(
    world: World,
    channel: string,
    body: string,
    headers: Record<string, string> = {},
  ): Promise<void> {
    const provider = memory({ broker: world.broker }).create(contextOf({ service: 'foreign', clock: world.clock }));
    await provider.start([]);
    const message = { id: 'raw', key: undefined, headers, body: Buffer.from(body), time: 0, durable: true, channel };
    expect(await provider.publish([message])).toEqual([]);
    await provider.stop();
    await world.idle();
  }

  it('hears by listeners and by patterns, and what is malformed is a dead letter', async () => {
    const got: unknown[] = [];
    @EventListener(OrderPlaced)
    class Receipts implements EventListener<OrderPlaced> {
      on(event: OrderPlaced): void {
        got.push(event);
      }
    }
    @Controller()
    class Orders {
      @EventPattern('orders.noted')
      onNoted(@Payload() data: unknown): void {
        got.push(data);
      }
    }
    const app = await HybridApp.start({ controllers: [Orders], providers: [Receipts] }, { packets: kafkaPackets() });
    await publish(app.world, 'orders.placed', '{"orderId":"a"}');
    await publish(app.world, 'orders.noted', 'a note');
    expect(got).toEqual([{ orderId: 'a' }, 'a note']);
    expect(await app.letters()).toEqual([]);
    await publish(app.world, 'orders.placed', '{"orderId":');
    await publish(app.world, 'orders.placed', 'no object');
    await publish(app.world, 'orders.noted', '[1,');
    const letters = (await app.letters()).map(({ reason, error }) => [reason, error.code]);
    expect(letters.sort()).toEqual([
      ['invalid', 'EVT_INVALID_BODY'],
      ['undecodable', 'EVT_UNDECODABLE'],
      ['undecodable', 'EVT_UNDECODABLE'],
    ]);
    expect(got).toHaveLength(2);
  });

  it('cannot answer a request of ClientKafka, and says so', async () => {
    @Controller()
    class Sums {
      @MessagePattern('sum')
      sum(): never {
        throw new Error('it was called');
      }
    }
    const app = await HybridApp.start({ controllers: [Sums] }, { packets: kafkaPackets() });
    await publish(app.world, 'sum', '[1,2]', {
      kafka_correlationId: 'c',
      kafka_replyTopic: 'sum.reply',
      kafka_replyPartition: '0',
    });
    expect((await app.letter()).error).toMatchObject({
      code: 'EVT_REJECTED',
      message: expect.stringContaining('its sender is no EventingClient'),
    });
  });
});
