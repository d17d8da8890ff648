import 'reflect-metadata';
import { AmqpConnection, RabbitMQModule, RabbitSubscribe } from '@golevelup/nestjs-rabbitmq';
import { Controller, Injectable, type INestApplicationContext, Logger, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientRMQ, Ctx, EventPattern, Payload, RmqContext, type RmqOptions, Transport } from '@nestjs/microservices';
import { EventingModule, EventListener, EventManager } from 'nestjs-eventing';
import { rabbitmq } from 'nestjs-eventing/rabbitmq';
import { randomUUID } from 'node:crypto';
import { lastValueFrom } from 'rxjs';
import { sample } from './measure.js';
import { orderNumber, OrderPlaced } from './order.event.js';
import { type Arrivals, paced } from './paced.js';
import { quiet } from './quiet.logger.js';
import type { Subject } from './subject.js';
import { Tally } from './tally.js';

// Three Nest applications on one RabbitMQ: ours, one on Nest's own transport, one on golevelup's. Each on a durable quorum queue, with persistent
// messages, confirms and acknowledgements, and 256 messages on their way at most.

const PREFETCH = 256;
/** Events in the queue when the clock starts. */
const BACKLOG = 20_000;
/** Sends open at one time while the queue is filled. */
const OPEN = 500;
const QUORUM = { durable: true, arguments: { 'x-queue-type': 'quorum' } };

interface Application {
  close(): Promise<unknown>;
}

interface Sender extends Application {
  send(event: OrderPlaced): Promise<unknown>;
}

/** One of the three. */
interface Peer {
  /** Its sending half. The queue is there when it is. */
  sender(): Promise<Sender>;
  /** Its listening half. */
  listen(on: (event: OrderPlaced) => void): Promise<Application>;
  /** Both in one application, where a second one in the same process would get no handlers. */
  both?(on: (event: OrderPlaced) => void): Promise<Sender>;
}

const context = (module: Type): Promise<INestApplicationContext> =>
  NestFactory.createApplicationContext(module, { logger: false });

function ours(url: string): Peer {
  const application = (providers: Type[]): Promise<INestApplicationContext> => {
    @Module({
      imports: [EventingModule.forRoot({ service: 'bench', provider: rabbitmq({ url }), logger: quiet })],
      providers,
    })
    class AppModule {}
    return context(AppModule);
  };
  const listen: Peer['listen'] = (on) => {
    @EventListener(OrderPlaced, { name: 'Bench', window: PREFETCH })
    class Bench implements EventListener<OrderPlaced> {
      async on(event: OrderPlaced): Promise<void> {
        on(event);
      }
    }
    return application([Bench]);
  };
  return {
    listen,
    async sender() {
      // Its queue is made by the first listener.
      await (await listen(() => undefined)).close();
      const app = await application([]);
      const events = app.get(EventManager);
      return { send: (event) => events.sendEvent(event), close: () => app.close() };
    },
  };
}

function nest(url: string, run: string): Peer {
  const queue = `nest.${run}`;
  const options: NonNullable<RmqOptions['options']> = {
    urls: [url],
    queue,
    queueOptions: QUORUM,
    noAck: false,
    prefetchCount: PREFETCH,
    persistent: true,
  };
  return {
    async sender() {
      // As a client it takes the answers of its peers without acknowledging them.
      const client = new ClientRMQ({ ...options, noAck: true });
      await client.connect();
      return {
        send: (event) => lastValueFrom(client.emit('orders.placed', event), { defaultValue: undefined }),
        close: async () => client.close(),
      };
    },
    async listen(on) {
      @Controller()
      class Bench {
        @EventPattern<Record<string, OrderPlaced>>('orders.placed')
        async on(@Payload() event: OrderPlaced, @Ctx() rmq: unknown): Promise<void> {
          on(event);
          const { channel, message } = deliveryOf(rmq as RmqContext);
          channel.ack(message);
        }
      }
      @Module({ controllers: [Bench] })
      class AppModule {}
      const app = await NestFactory.createMicroservice(AppModule, { transport: Transport.RMQ, options, logger: false });
      await app.listen();
      return app;
    },
  };
}

function deliveryOf(rmq: RmqContext): { channel: { ack(message: object): void }; message: object } {
  return { channel: rmq.getChannelRef() as { ack(message: object): void }, message: rmq.getMessage() };
}

function golevelup(url: string, run: string): Peer {
  const exchange = `golevelup.${run}`;
  const queue = { exchange, routingKey: 'orders.placed', queue: exchange, queueOptions: QUORUM };
  const rabbit = RabbitMQModule.forRoot({
    uri: url,
    exchanges: [{ name: exchange, type: 'topic', options: { durable: true } }],
    prefetchCount: PREFETCH,
    connectionInitOptions: { wait: true },
  });
  const application = (providers: Type[]): Promise<INestApplicationContext> => {
    @Module({ imports: [rabbit], providers })
    class AppModule {}
    return context(AppModule);
  };
  const listen = (on: (event: OrderPlaced) => void): Promise<INestApplicationContext> => {
    @Injectable()
    class Bench {
      @RabbitSubscribe(queue)
      async on(event: OrderPlaced): Promise<void> {
        on(event);
      }
    }
    return application([Bench]);
  };
  const sending = (app: INestApplicationContext): Sender => {
    const connection = app.get(AmqpConnection);
    return {
      send: (event) => connection.publish(exchange, 'orders.placed', event, { persistent: true }),
      close: () => app.close(),
    };
  };
  return {
    listen,
    async sender() {
      await (await listen(() => undefined)).close();
      return sending(await application([]));
    },
    both: async (on) => sending(await listen(on)),
  };
}

const PEERS: Readonly<Record<string, (url: string, run: string) => Peer>> = { ours, nest, golevelup };

function peerOf({ url = '', peer = '' }: Record<string, string>): Peer {
  // What they say of each connection.
  Logger.overrideLogger(false);
  const make = PEERS[peer];
  if (make === undefined) throw new Error(`there is no peer "${peer}"`);
  // The others close without waiting for their last acknowledgements: what comes again must not come into another round.
  return make(url, randomUUID());
}

/** From the first event of a backlog to the last. */
export function consume(settings: Record<string, string>): Subject {
  return {
    async round() {
      const peer = peerOf(settings);
      const { send, close } = await peer.sender();
      for (let first = 0; first < BACKLOG; first += OPEN)
        await Promise.all(Array.from({ length: OPEN }, (_, index) => send(orderNumber(first + index))));
      await close();
      const tally = new Tally();
      tally.start();
      const started = tally.reached(1);
      const app = await peer.listen(({ total }) => tally.add(total));
      await started;
      const before = tally.count;
      const taken = await sample(BACKLOG - before, async () => tally.reached(BACKLOG));
      await app.close();
      tally.check(BACKLOG);
      return taken;
    },
  };
}

/** From the call that sends to the call of the listener, at 200 events/s. */
export function latency(settings: Record<string, string>): Subject {
  const peer = peerOf(settings);
  const arrived: Arrivals = { on: () => undefined };
  const parts: Application[] = [];
  let send: (event: OrderPlaced) => Promise<unknown> = () => Promise.reject(new Error('not prepared'));
  return {
    async prepare() {
      const on = (event: OrderPlaced): void => arrived.on(event);
      const sender = peer.both === undefined ? await peer.sender() : await peer.both(on);
      send = sender.send;
      parts.push(sender);
      if (peer.both === undefined) parts.push(await peer.listen(on));
    },
    round: () => paced((event) => send(event), arrived),
    async close() {
      for (const part of parts.reverse()) await part.close();
    },
  };
}
