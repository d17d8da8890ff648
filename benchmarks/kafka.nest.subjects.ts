import 'reflect-metadata';
import { Controller, type INestApplicationContext, Logger, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientKafka, EventPattern, type KafkaOptions, Payload, Transport } from '@nestjs/microservices';
import { randomUUID } from 'node:crypto';
import { EventingModule, EventListener, EventManager, type ListenerOptions } from 'nestjs-eventing';
import { kafka } from 'nestjs-eventing/kafka';
import { lastValueFrom } from 'rxjs';
import { createTopic, messageOf } from './kafka.twin.js';
import { type Sample, sample } from './measure.js';
import { orderNumber, OrderPlaced } from './order.event.js';
import { type Arrivals, paced } from './paced.js';
import { quiet } from './quiet.logger.js';
import type { Subject } from './subject.js';
import { Tally } from './tally.js';

const EVENTS = 10_000;
/** Sends open at one time. */
const OPEN = 1000;
const PARTITIONS = 6;

interface Application {
  close(): Promise<unknown>;
}

/** What sends, on either side. */
interface Side {
  readonly send: (event: OrderPlaced) => Promise<unknown>;
  readonly close: () => Promise<unknown>;
}

// Ours

function eventingApplication(
  brokers: string,
  listeners: readonly (new () => object)[] = [],
): Promise<INestApplicationContext> {
  const provider = kafka({ brokers: brokers.split(','), partitions: PARTITIONS });
  const AppModule = class AppModule {};
  const imports = [EventingModule.forRoot({ service: `bench-${randomUUID()}`, provider, logger: quiet })];
  return NestFactory.createApplicationContext(
    { module: AppModule, imports, providers: [...listeners] },
    { logger: false },
  );
}

function listenerOf(options: ListenerOptions, on: (event: OrderPlaced) => void): new () => object {
  @EventListener(OrderPlaced, options)
  class BenchListener implements EventListener<OrderPlaced> {
    async on(event: OrderPlaced): Promise<void> {
      on(event);
    }
  }
  return BenchListener;
}

function senderOf(app: INestApplicationContext): Side {
  const events = app.get(EventManager);
  return { send: (event) => events.sendEvent(event), close: () => app.close() };
}

// Nest's

/** Acknowledged by all replicas, and idempotent unless told otherwise, as ours is; for the rest its defaults. */
function nestOptions(brokers: string, from: 'earliest' | 'latest' = 'latest', idempotent = true): KafkaOptions {
  return {
    transport: Transport.KAFKA,
    options: {
      client: { brokers: brokers.split(',') },
      producer: { idempotent },
      send: { acks: -1 },
      consumer: { groupId: `nest-${randomUUID()}` },
      subscribe: { fromBeginning: from === 'earliest' },
      run: { autoCommitInterval: 200 },
    },
  };
}

async function nestSender(brokers: string, idempotent = true): Promise<Side> {
  // kafkajs speaks of each retry; a round that loses an event fails anyhow.
  Logger.overrideLogger(false);
  const client = new ClientKafka(nestOptions(brokers, 'latest', idempotent).options ?? {});
  await client.connect();
  return {
    // The same key, bytes and headers; `emit` is cold until it is subscribed to.
    send: (event) => {
      const { key, headers } = messageOf(event);
      return lastValueFrom(client.emit('orders.nest', { key, value: event, headers }));
    },
    close: () => client.close(),
  };
}

async function nestListener(
  brokers: string,
  topic: string,
  from: 'earliest' | 'latest',
  on: (event: OrderPlaced) => void,
): Promise<Application> {
  @Controller()
  class BenchController {
    @EventPattern<Record<string, OrderPlaced>>(topic)
    async on(@Payload() event: OrderPlaced): Promise<void> {
      on(event);
    }
  }
  @Module({ controllers: [BenchController] })
  class AppModule {}
  const app = await NestFactory.createMicroservice(AppModule, { ...nestOptions(brokers, from), logger: false });
  await app.listen();
  return app;
}

// The benches

/** 1000 sends open at all times: as each is answered, the next is made. */
function publishing(prepare: () => Promise<Side>): Subject {
  let side: Side | undefined;
  return {
    async prepare() {
      side = await prepare();
      await side.send(orderNumber(0));
    },
    round: () =>
      sample(EVENTS, async () => {
        let next = 0;
        const sender = async (): Promise<void> => {
          while (next < EVENTS) await side?.send(orderNumber(next++));
        };
        await Promise.all(Array.from({ length: OPEN }, sender));
      }),
    close: async () => void (await side?.close()),
  };
}

export const publishEventing = ({ brokers = '' }: Record<string, string>): Subject =>
  publishing(async () => {
    await createTopic(brokers, 'orders', PARTITIONS);
    return senderOf(await eventingApplication(brokers));
  });

/** `idempotent: 'no'` for what its users have who set nothing. */
export const publishNest = ({ brokers = '', idempotent = 'yes' }: Record<string, string>): Subject =>
  publishing(async () => {
    await createTopic(brokers, 'orders.nest', PARTITIONS);
    return nestSender(brokers, idempotent === 'yes');
  });

/** A backlog in the topic `orders`, read from its beginning by a group of its own in each round. */
function consuming(events: number, listen: (on: (event: OrderPlaced) => void) => Promise<Application>): Subject {
  return {
    async round(): Promise<Sample> {
      const tally = new Tally();
      tally.start();
      // Joining a group takes as long as the broker likes: the clock starts at the first event.
      const started = tally.reached(1);
      const app = await listen(({ total }) => tally.add(total));
      await started;
      const before = tally.count;
      const taken = await sample(events - before, async () => tally.reached(events));
      await app.close();
      tally.check(events);
      return taken;
    },
  };
}

export const consumeEventing = ({ brokers = '', events = '' }: Record<string, string>): Subject =>
  consuming(Number(events), (on) => eventingApplication(brokers, [listenerOf({ from: 'earliest' }, on)]));

export const consumeNest = ({ brokers = '', events = '' }: Record<string, string>): Subject =>
  consuming(Number(events), (on) => nestListener(brokers, 'orders', 'earliest', on));

/** From the call that sends to the call of the listener, at 200 events/s. */
function timing(prepare: (arrived: Arrivals) => Promise<Side>): Subject {
  const arrived: Arrivals = { on: () => undefined };
  let side: Side | undefined;
  return {
    prepare: async () => void (side = await prepare(arrived)),
    round: () => paced(async (event) => side?.send(event), arrived),
    close: async () => void (await side?.close()),
  };
}

export const latencyEventing = ({ brokers = '' }: Record<string, string>): Subject =>
  timing(async (arrived) =>
    senderOf(await eventingApplication(brokers, [listenerOf({}, (event) => arrived.on(event))])),
  );

export const latencyNest = ({ brokers = '' }: Record<string, string>): Subject =>
  timing(async (arrived) => {
    await createTopic(brokers, 'orders.nest', PARTITIONS);
    const app = await nestListener(brokers, 'orders.nest', 'latest', (event) => arrived.on(event));
    const { send, close } = await nestSender(brokers);
    return { send, close: async () => Promise.all([close(), app.close()]) };
  });
