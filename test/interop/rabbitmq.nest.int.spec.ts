// oxlint-disable typescript/no-unnecessary-type-arguments -- it picks the overload: the first one of Nest 12 refuses handlers of other than one parameter
import { randomUUID } from 'node:crypto';
import { Controller } from '@nestjs/common';
import {
  ClientRMQ,
  Ctx,
  EventPattern,
  type MicroserviceOptions,
  Payload,
  RmqContext,
  Transport,
} from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { connect } from 'amqplib';
import { DeadLetters, Event, EventingModule, EventingRuntime, EventListener, EventManager } from 'nestjs-eventing';
import { EventingTransport, rmqPackets } from 'nestjs-eventing/microservices';
import { rabbitmq } from 'nestjs-eventing/rabbitmq';
import { lastValueFrom } from 'rxjs';
import { beforeAll, describe, expect, inject, it, onTestFinished } from 'vitest';
import { until } from '../../libs/rabbitmq/src/rabbit.fixture.js';

const access = inject('rabbitmq');
const url = access?.url ?? '';
const run = randomUUID().slice(0, 8);
/** Queues as Nest's own services declare them. */
const TO_US = `${run}.to-us`;
const TO_THEM = `${run}.to-them`;

const provider = rabbitmq({
  url: url === '' ? 'amqp://localhost' : url,
  channels: {
    'to-us': { exchange: '', routingKey: TO_US, queue: TO_US },
    'to-them': { exchange: '', routingKey: TO_THEM },
  },
});

@Event({ name: 'orders.placed', channel: 'to-us', ...rmqPackets() })
class OrderPlaced {
  orderId!: string;
}

@Event({ name: 'orders.shipped', channel: 'to-them', ...rmqPackets() })
class OrderShipped {
  orderId!: string;
}

describe.skipIf(access === undefined)('a service of plain Nest, Transport.RMQ', () => {
  beforeAll(async () => {
    const connection = await connect(url);
    const channel = await connection.createChannel();
    for (const queue of [TO_US, TO_THEM]) await channel.assertQueue(queue, { durable: true });
    await connection.close();
  });

  it('emits: our listeners and our controllers hear it, and what is malformed is a dead letter', async () => {
    const got: unknown[] = [];
    @EventListener(OrderPlaced)
    class Receipts implements EventListener<OrderPlaced> {
      on(event: OrderPlaced): void {
        got.push(['listener', event, event instanceof OrderPlaced]);
      }
    }
    const module = await Test.createTestingModule({
      imports: [EventingModule.forRoot({ service: `${run}-ours`, provider })],
      providers: [Receipts],
    }).compile();
    const app = module.createNestApplication({ logger: false });
    onTestFinished(() => app.close());
    await app.init();
    const client = new ClientRMQ({ urls: [url], queue: TO_US, queueOptions: { durable: true } });
    onTestFinished(() => client.close());
    await lastValueFrom(client.emit('orders.placed', { orderId: 'ö' }));
    await until('it is heard', () => got.length === 1);
    expect(got).toEqual([['listener', { orderId: 'ö' }, true]]);

    const connection = await connect(url);
    const channel = await connection.createConfirmChannel();
    channel.sendToQueue(TO_US, Buffer.from('no packet'));
    await channel.waitForConfirms();
    await connection.close();
    const letters = app.get(DeadLetters);
    const bodies = async (): Promise<string[]> => {
      const found: string[] = [];
      for await (const letter of letters.all()) found.push(Buffer.from(letter.message.body).toString());
      return found;
    };
    await until('it is a dead letter', async () => (await bodies()).length > 0);
    expect(await bodies()).toEqual(['no packet']);
  });

  it('hears what we send, by its @EventPattern()', async () => {
    const got: unknown[] = [];
    @Controller()
    class Plain {
      @EventPattern<string>('orders.shipped')
      onShipped(@Payload() data: unknown, @Ctx() context: RmqContext): void {
        got.push([data, context.getPattern()]);
      }
    }
    const theirs = (
      await Test.createTestingModule({ controllers: [Plain] }).compile()
    ).createNestMicroservice<MicroserviceOptions>({
      transport: Transport.RMQ,
      logger: false,
      options: { urls: [url], queue: TO_THEM, queueOptions: { durable: true } },
    });
    onTestFinished(() => theirs.close());
    await theirs.listen();
    const ours = await Test.createTestingModule({
      imports: [EventingModule.forRoot({ service: `${run}-sender`, provider })],
    }).compile();
    const app = ours.createNestApplication({ logger: false });
    onTestFinished(() => app.close());
    await app.init();
    await app.get(EventManager).sendEvent(OrderShipped, { orderId: 'ß' });
    await until('it is heard', () => got.length === 1);
    expect(got).toEqual([[{ orderId: 'ß' }, 'orders.shipped']]);
  });

  it('has controllers that run here unchanged, and hear its emits', async () => {
    const got: unknown[] = [];
    const queue = `${run}.notes`;
    const connection = await connect(url);
    await (await connection.createChannel()).assertQueue(queue, { durable: true });
    await connection.close();
    @Controller()
    class Notes {
      @EventPattern('notes')
      onNoted(@Payload() note: unknown): void {
        got.push(note);
      }
    }
    const channels = { notes: { exchange: '', routingKey: queue, queue } };
    const module = await Test.createTestingModule({
      imports: [EventingModule.forRoot({ service: `${run}-notes`, provider: rabbitmq({ url, channels }) })],
      controllers: [Notes],
    }).compile();
    const app = module.createNestApplication({ logger: false });
    onTestFinished(() => app.close());
    app.connectMicroservice({
      strategy: new EventingTransport({ runtime: app.get(EventingRuntime), packets: rmqPackets() }),
    });
    await app.startAllMicroservices();
    await app.init();
    const client = new ClientRMQ({ urls: [url], queue, queueOptions: { durable: true } });
    onTestFinished(() => client.close());
    await lastValueFrom(client.emit('notes', 'a note'));
    await lastValueFrom(client.emit('notes', [1, { two: 2 }]));
    await until('both are heard', () => got.length === 2);
    expect(got).toEqual(['a note', [1, { two: 2 }]]);
  });
});
