import { randomUUID } from 'node:crypto';
import { AmqpConnection, RabbitMQModule, RabbitSubscribe } from '@golevelup/nestjs-rabbitmq';
import { Injectable } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { type Envelope, Event, EventingModule, EventListener, EventManager, raw } from 'nestjs-eventing';
import { rabbitmq } from 'nestjs-eventing/rabbitmq';
import { describe, expect, inject, it, onTestFinished } from 'vitest';
import { until } from '../../libs/rabbitmq/src/rabbit.fixture.js';

const access = inject('rabbitmq');
const url = access?.url ?? '';
const run = randomUUID().slice(0, 8);
const OURS = `${run}.orders.placed`;
const THEIRS = `${run}.theirs`;

const provider = rabbitmq({
  url: url === '' ? 'amqp://localhost' : url,
  channels: { shipments: { exchange: THEIRS, routingKey: 'shipped', binding: 'shipped.#' } },
});

@Event({ name: 'orders.placed', channel: OURS })
class OrderPlaced {
  orderId!: string;
}

@Event({ name: 'shipped', channel: 'shipments', wire: raw({ event: 'shipped', idHeader: 'message-id' }) })
class Shipped {
  parcel!: string;
}

describe.skipIf(access === undefined)('a service of @golevelup/nestjs-rabbitmq', () => {
  it('hears what we send, and what it publishes is heard by our listeners', async () => {
    const [theirs, ours]: [unknown[], unknown[]] = [[], []];
    @Injectable()
    class Subscriber {
      @RabbitSubscribe({ exchange: OURS, routingKey: '#', queue: `${run}.golevelup`, createQueueIfNotExists: true })
      onPlaced(event: unknown, { properties }: { properties: { headers: Record<string, unknown> } }): void {
        theirs.push([event, properties.headers['cloudEvents:type']]);
      }
    }
    @EventListener(Shipped)
    class Shipments implements EventListener<Shipped> {
      on(event: Shipped, { id, headers }: Envelope<Shipped>): void {
        ours.push([event, event instanceof Shipped, id, headers.get('tenant')]);
      }
    }
    const peer = await Test.createTestingModule({
      imports: [
        RabbitMQModule.forRoot({
          uri: url,
          exchanges: [
            { name: OURS, type: 'topic', options: { durable: true } },
            { name: THEIRS, type: 'topic', options: { durable: true } },
          ],
          connectionInitOptions: { wait: true, timeout: 20_000 },
        }),
      ],
      providers: [Subscriber],
    }).compile();
    const peerApp = peer.createNestApplication({ logger: false });
    onTestFinished(() => peerApp.close());
    await peerApp.init();
    const module = await Test.createTestingModule({
      imports: [EventingModule.forRoot({ service: `${run}-shop`, provider })],
      providers: [Shipments],
    }).compile();
    const app = module.createNestApplication({ logger: false });
    onTestFinished(() => app.close());
    await app.init();

    await app.get(EventManager).sendEvent(OrderPlaced, { orderId: 'ö' });
    await until('they hear ours', () => theirs.length === 1);
    expect(theirs).toEqual([[{ orderId: 'ö' }, 'orders.placed']]);

    const options = { messageId: 'm1', headers: { tenant: 'acme' } };
    await peerApp.get(AmqpConnection).publish(THEIRS, 'shipped.abroad', { parcel: 'p1' }, options);
    await until('we hear theirs', () => ours.length === 1);
    expect(ours).toEqual([[{ parcel: 'p1' }, true, 'm1', 'acme']]);
    await app.get(EventManager).sendEvent(Shipped, { parcel: 'p2' });
    await until('we hear our own in their exchange', () => ours.length === 2);
  });
});
