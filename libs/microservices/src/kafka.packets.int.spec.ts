// oxlint-disable typescript/no-unnecessary-type-arguments -- it picks the overload: the first one of Nest 12 refuses handlers of other than one parameter
import { randomUUID } from 'node:crypto';
import { Controller } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  ClientKafka,
  Ctx,
  EventPattern,
  type KafkaContext,
  MessagePattern,
  type MicroserviceOptions,
  Payload,
  Transport,
} from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import kafkajs from 'kafkajs';
import {
  DeadLetters,
  type Envelope,
  Event,
  EventingModule,
  type EventingOptions,
  EventingRuntime,
  EventListener,
  EventManager,
} from 'nestjs-eventing';
import { kafka } from 'nestjs-eventing/kafka';
import { from, lastValueFrom, type Observable, scan, toArray } from 'rxjs';
import { beforeAll, describe, expect, inject, it, onTestFinished } from 'vitest';
import { until } from '../../kafka/src/kafka.fixture.js';
import { RecordingLogger } from '../../eventing/src/kernel.fixture.js';
import { EventingClient, EventingTransport, kafkaPackets, listenerOptions } from './index.js';

const brokers = inject('kafkaBrokers');
const run = randomUUID().slice(0, 8);
const topic = (name: string): string => `${run}.${name}`;

/** What a service of this package writes, and what one of Nest's does. */
const OURS = topic('ours');
const THEIRS = topic('theirs');
const NOTES = topic('notes');
const SUMS = topic('sums');
const BROKEN = topic('broken');

const eventing = (service: string): Pick<EventingOptions, 'service' | 'provider' | 'logger'> => ({
  service: `${run}-${service}`,
  provider: kafka({ brokers, sessionTimeout: 6_000, heartbeatInterval: 200, commitInterval: 50, partitions: 2 }),
  logger: new RecordingLogger(),
});

const order = { orderId: 'ö', lines: [{ article: 'a', count: 1 }] };

@Event({ name: THEIRS, key: 'orderId', ...kafkaPackets() })
class OrderPlaced {
  orderId!: string;
  lines!: { article: string; count: number }[];
}

describe.skipIf(brokers.length === 0)('Nest over Kafka', () => {
  beforeAll(async () => {
    const admin = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING }).admin();
    await admin.connect();
    await admin.createTopics({
      topics: [OURS, THEIRS, NOTES, SUMS, BROKEN].map((name) => ({ topic: name, numPartitions: 2 })),
    });
    await admin.disconnect();
  }, 60_000);

  /** Nest's own client, on kafkajs. */
  async function plainClient(): Promise<ClientKafka> {
    const client = new ClientKafka({ client: { brokers, logLevel: kafkajs.logLevel.NOTHING }, producerOnlyMode: true });
    onTestFinished(() => client.close());
    await client.connect();
    return client;
  }

  it('emits: our listeners and our controllers hear it, with key, headers and what the data was', async () => {
    const got: unknown[][] = [];
    @EventListener(OrderPlaced)
    class Receipts implements EventListener<OrderPlaced> {
      on(event: OrderPlaced, { key, headers, id }: Envelope<OrderPlaced>): void {
        got.push(['listener', event, event instanceof OrderPlaced, key, headers.get('tenant'), id.startsWith(THEIRS)]);
      }
    }
    @Controller()
    class Orders {
      @EventPattern<string>(THEIRS)
      onPlaced(@Payload() event: OrderPlaced): void {
        got.push(['pattern', event]);
      }
      @EventPattern(NOTES)
      onNoted(@Payload() note: unknown): void {
        got.push(['note', note]);
      }
    }
    const module = await Test.createTestingModule({
      imports: [EventingModule.forRoot(eventing('reader'))],
      controllers: [Orders],
      providers: [Receipts],
    }).compile();
    const app = module.createNestApplication({ logger: false });
    onTestFinished(() => app.close());
    app.connectMicroservice({
      strategy: new EventingTransport({ runtime: app.get(EventingRuntime), packets: kafkaPackets() }),
    });
    await app.startAllMicroservices();
    await app.init();
    const client = await plainClient();
    await lastValueFrom(client.emit(THEIRS, { key: 'k1', value: order, headers: { tenant: 'acme' } }));
    await lastValueFrom(client.emit(NOTES, 'a note'));
    await lastValueFrom(client.emit(NOTES, [1, { two: 2 }]));
    await until('all is heard', () => got.length === 4);
    expect(got.filter(([what]) => what !== 'note')).toEqual(
      expect.arrayContaining([
        ['listener', order, true, 'k1', 'acme', true],
        ['pattern', order],
      ]),
    );
    expect(got.filter(([what]) => what === 'note')).toEqual(
      expect.arrayContaining([
        ['note', 'a note'],
        ['note', [1, { two: 2 }]],
      ]),
    );
  });

  it('hears what we send: a plain @EventPattern() of Transport.KAFKA gets our events and our emits', async () => {
    const got: unknown[] = [];
    @Controller()
    class Plain {
      @EventPattern<string>(OURS)
      onPlaced(@Payload() data: unknown, @Ctx() context: KafkaContext): void {
        const { key, headers } = context.getMessage();
        got.push([data, key, headers?.['tenant'], headers?.['kafka_correlationId']]);
      }
    }
    const module = await Test.createTestingModule({ controllers: [Plain] }).compile();
    const service = module.createNestMicroservice<MicroserviceOptions>({
      transport: Transport.KAFKA,
      logger: false,
      options: {
        client: { brokers, logLevel: kafkajs.logLevel.NOTHING },
        consumer: { groupId: `${run}-plain` },
        subscribe: { fromBeginning: true },
      },
    });
    onTestFinished(() => service.close());
    await service.listen();

    @Event({ name: OURS, key: 'orderId', ...kafkaPackets() })
    class Ours {
      orderId!: string;
    }
    const app = await NestFactory.createApplicationContext(EventingModule.forRoot(eventing('writer')), {
      logger: false,
    });
    onTestFinished(() => app.close());
    await app.get(EventManager).sendEvent(Ours, order, { headers: { tenant: 'acme' }, correlationId: 'story' });
    const client = new EventingClient({ ...eventing('emitter'), packets: kafkaPackets(), requests: false });
    onTestFinished(() => client.close());
    await lastValueFrom(client.emit(OURS, ['a', 1]));
    await until('both are heard', () => got.length === 2, 40_000);
    expect(got).toEqual(
      expect.arrayContaining([
        [order, 'ö', 'acme', 'story'],
        [['a', 1], null, undefined, undefined],
      ]),
    );
  });

  it('sends what we cannot read, or must not answer: dead letters, and the next is handled', async () => {
    const got: unknown[] = [];
    @Controller()
    class Orders {
      @EventPattern(BROKEN, listenerOptions({ name: `broken-${run}` }))
      onAny(@Payload() data: unknown): void {
        got.push(data);
      }
    }
    const module = await Test.createTestingModule({ controllers: [Orders] }).compile();
    const strategy = new EventingTransport({ ...eventing('broken'), packets: kafkaPackets() });
    const service = module.createNestMicroservice({ strategy, logger: false });
    onTestFinished(() => service.close());
    await service.listen();
    const client = await plainClient();
    const records = ['{"half":', '{"__proto__":{"admin":true}}', 'good'].map((value) => ({ key: 'k', value }));
    for (const record of records) await lastValueFrom(client.emit(BROKEN, record));
    await until('the good one is heard', () => got.length === 1);
    expect(got).toEqual(['good']);
    const { letters } = await strategy.unwrap<EventingRuntime & { deadLetters: DeadLetters }>().deadLetters.scan();
    expect(letters.map(({ reason, error }) => [reason, error.code])).toEqual([
      ['undecodable', 'EVT_UNDECODABLE'],
      ['undecodable', 'EVT_UNDECODABLE'],
    ]);
  });

  it('is not needed for requests: they find their way through Kafka and back, streams too', async () => {
    @Controller()
    class Sums {
      @MessagePattern(SUMS)
      sums(@Payload() numbers: number[]): Observable<number> {
        return from(numbers).pipe(scan((sum, number) => sum + number));
      }
    }
    const module = await Test.createTestingModule({ controllers: [Sums] }).compile();
    const service = module.createNestMicroservice({ strategy: new EventingTransport(eventing('math')), logger: false });
    onTestFinished(() => service.close());
    await service.listen();
    const [one, two] = [new EventingClient(eventing('asker')), new EventingClient(eventing('asker'))];
    for (const client of [one, two]) onTestFinished(() => client.close());
    await Promise.all([one.connect(), two.connect()]);
    const ask = (client: EventingClient, numbers: number[]): Promise<number[]> =>
      lastValueFrom(client.send<number>(SUMS, numbers).pipe(toArray()));
    const answers = await Promise.all([ask(one, [1, 2, 3]), ask(two, [10]), ask(one, [5, 5])]);
    expect(answers).toEqual([[1, 3, 6], [10], [5, 10]]);
  });
});
