import { Controller } from '@nestjs/common';
import { ClientRMQ, EventPattern, Payload, type ReadPacket, RmqRecordBuilder, ServerRMQ } from '@nestjs/microservices';
import { RmqRecordSerializer } from '@nestjs/microservices/serializers/index.js';
import { type Delivery, Event, EventListener, type EventDescriptor, EventRegistry, memory } from 'nestjs-eventing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { contextOf, refusalOf } from '../../../eventing/src/kernel.fixture.js';
import { BINDING, ScriptedDelivery } from '../../../eventing/src/scripted.provider.fixture.js';
import { EventingClient } from '../eventing.client.js';
import { HybridApp, World } from '../microservices.fixture.js';
import { addressOf } from '../pattern.address.js';
import { dataOf, packetClass } from '../pattern.packet.js';
import { rmqPackets } from './rmq.packets.js';

const packets = rmqPackets();
const described = (route: string): EventDescriptor =>
  new EventRegistry().describe(packetClass(route, 'queue', packets));

/** Nest's own client with a channel that keeps what it is given: the bytes are those that RabbitMQ would get. */
async function written(packet: ReadPacket, isRequest = false): Promise<Buffer> {
  let bytes: Buffer | undefined;
  const client = Object.create(ClientRMQ.prototype) as Record<string, unknown> & {
    dispatchEvent(packet: ReadPacket): Promise<void>;
    publish(packet: ReadPacket, callback: () => void): () => void;
  };
  const sendToQueue = (
    _queue: string,
    content: Buffer,
    _options: object,
    done?: (error?: unknown) => void,
  ): Promise<void> => {
    bytes = content;
    done?.();
    return Promise.resolve();
  };
  Object.assign(client, {
    serializer: new RmqRecordSerializer(),
    options: {},
    queue: 'queue',
    routingMap: new Map(),
    responseEmitter: { on: () => undefined, removeListener: () => undefined },
    channel: { sendToQueue },
  });
  if (isRequest) client.publish(packet, () => undefined);
  else await client.dispatchEvent(packet);
  return bytes as Buffer;
}

/** Nest's own server, without the client library that it would connect with. */
class PlainServer extends ServerRMQ {
  protected override loadPackageSynchronously<T>(): T {
    return {} as T;
  }
  /** Its name in Nest 11. */
  protected override loadPackage<T>(): T {
    return {} as T;
  }
}

async function readByNest(bytes: Uint8Array, pattern: unknown): Promise<unknown> {
  const server = new PlainServer({});
  let got: unknown = 'nothing';
  server.addHandler(pattern, (data: unknown) => Promise.resolve((got = data)) as never, true);
  await server.handleMessage({ content: Buffer.from(bytes), properties: {} }, {});
  return got;
}

const PATTERNS: readonly (string | number | object)[] = [
  'orders.placed',
  { cmd: 'place', entity: 'order' },
  7,
  'a b/c',
];
const DATA: readonly unknown[] = [{ orderId: 'a' }, [1, 2], 'text', 7, true, null];

const delivery = (body: Uint8Array | string, parts: Partial<Delivery> = {}): Delivery =>
  new ScriptedDelivery('queue', { headers: {}, ...parts, body: Buffer.from(body) }, 7);

describe('RMQ packets', () => {
  it.each(PATTERNS)("are handled by Nest's own server under the pattern %j", async (pattern) => {
    const route = addressable(pattern);
    for (const data of DATA) {
      const event = described(route);
      expect(await readByNest(event.serializer.serialize({ data }, event), pattern)).toEqual(data);
    }
  });

  it.each(PATTERNS)("of Nest's own client are read under the pattern %j", async (pattern) => {
    const event = described(addressable(pattern));
    for (const data of DATA) {
      const message = packets.wire.decode(delivery(await written({ pattern, data })), BINDING);
      expect(message.name).toBe(event.name);
      const body = event.validator(event.serializer.deserialize(message.body, event)) as { body: object };
      expect(dataOf(body.body)).toEqual(data);
    }
  });

  it('of a record builder are its data', async () => {
    const data = new RmqRecordBuilder({ orderId: 'a' }).setOptions({ headers: { tenant: 'acme' } }).build();
    const bytes = await written({ pattern: 'orders.placed', data });
    const message = packets.wire.decode(delivery(bytes, { headers: { tenant: 'acme' } }), BINDING);
    expect(Buffer.from(message.body).toString()).toBe('{"orderId":"a"}');
    expect(Object.fromEntries(message.headers ?? [])).toEqual({ tenant: 'acme' });
  });

  it('that are requests are marked: their sender waits', async () => {
    const message = packets.wire.decode(delivery(await written({ pattern: 'sum', data: [1] }, true)), BINDING);
    expect(Object.fromEntries(message.headers ?? [])).toEqual({ 'nest-foreign-request': 'rmq' });
  });

  it('without data have none, as in Nest', () => {
    expect(Buffer.from(packets.wire.decode(delivery('{"pattern":"x"}'), BINDING).body).toString()).toBe('null');
  });

  it.each([
    '',
    'x',
    '7',
    'null',
    '[]',
    '{}',
    '{"data":1}',
    '{"pattern":null,"data":1}',
    '{"pattern":true}',
    '{"pattern":"x","data":{"__proto__":{}}}',
    '{"pattern":"x"',
  ])('that are malformed are not read: %s', (text) => {
    expect(refusalOf(() => packets.wire.decode(delivery(text), BINDING)).code).toBe('EVT_UNDECODABLE');
  });

  it('with a pattern that is nested without end do no harm', () => {
    const pattern = `${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}`;
    const { name } = packets.wire.decode(delivery(`{"pattern":${pattern},"data":1}`), BINDING);
    expect(name.length).toBeLessThanOrEqual(200);
  });
});

describe('an application that reads RMQ packets', () => {
  @Event({ name: 'orders.placed', channel: 'queue', ...rmqPackets() })
  class OrderPlaced {
    orderId!: string;
  }

  it('shares one channel between patterns and listeners, and makes dead letters of malformed packets', async () => {
    const got: unknown[] = [];
    @EventListener(OrderPlaced)
    class Receipts implements EventListener<OrderPlaced> {
      on(event: OrderPlaced): void {
        got.push(['listener', event]);
      }
    }
    @Controller()
    class Orders {
      @EventPattern({ cmd: 'note' })
      onNoted(@Payload() data: unknown): void {
        got.push(['pattern', data]);
      }
    }
    const world = new World();
    const options = { packets: rmqPackets(), channel: () => 'queue', handlers: { group: 'controllers' } };
    const app = await HybridApp.start({ controllers: [Orders], providers: [Receipts] }, options, world);
    const client = new EventingClient({ ...world.eventing('sender'), packets: rmqPackets(), channel: () => 'queue' });
    onTestFinished(() => world.close(client));
    await client.connect();
    client.emit('orders.placed', { orderId: 'a' });
    client.emit({ cmd: 'note' }, 'a note');
    client.emit('nobody', 'asks for it');
    await world.idle();
    expect(got.sort()).toEqual([
      ['listener', { orderId: 'a' }],
      ['pattern', 'a note'],
    ]);
    expect(await app.letters()).toEqual([]);
    const provider = memory({ broker: world.broker }).create(contextOf({ service: 'foreign', clock: world.clock }));
    await provider.start([]);
    await provider.publish([
      { id: 'x', channel: 'queue', key: undefined, headers: {}, body: Buffer.from('{'), time: 0, durable: true },
    ]);
    await provider.stop();
    await world.idle();
    const letters = (await app.letters()).map(({ listener, error }) => [listener, error.code]);
    expect(letters.sort()).toEqual([
      ['Receipts', 'EVT_UNDECODABLE'],
      ['controllers', 'EVT_UNDECODABLE'],
    ]);
    expect(addressOf('{"cmd":"note"}')).toMatch(/^cmd-note-/);
  });
});

/** What our side calls the pattern. */
function addressable(pattern: string | number | object): string {
  return typeof pattern === 'object' ? '{"cmd":"place","entity":"order"}' : String(pattern);
}
