import { Test, type TestingModule } from '@nestjs/testing';
import { context, metrics, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  AggregationTemporality,
  type DataPoint,
  type Histogram,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import {
  BatchError,
  type BatchEventListener,
  type Envelope,
  Event,
  EventingModule,
  EventListener,
  EventManager,
  memory,
  MemoryBroker,
  RejectEvent,
} from 'nestjs-eventing';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { EventingTelemetryModule } from './index.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'id' })
class OrderPlaced {
  id!: string;
}
@Event({ name: 'receipts.due', channel: 'receipts' })
class ReceiptDue {
  id!: string;
}

/** The trace context of W3C, which the SDK keeps in a package of its own: enough of it for these tests. */
const traceContext = {
  inject(
    from: Parameters<typeof propagation.inject>[0],
    carrier: object,
    setter: { set(c: object, k: string, v: string): void },
  ) {
    const span = trace.getSpanContext(from);
    if (span !== undefined) setter.set(carrier, 'traceparent', `00-${span.traceId}-${span.spanId}-01`);
  },
  extract(
    into: Parameters<typeof propagation.extract>[0],
    carrier: object,
    getter: { get(c: object, k: string): string | string[] | undefined },
  ) {
    const [, traceId, spanId] = /^00-(\w{32})-(\w{16})-01$/.exec(String(getter.get(carrier, 'traceparent'))) ?? [];
    if (traceId === undefined || spanId === undefined) return into;
    return trace.setSpanContext(into, { traceId, spanId, traceFlags: 1, isRemote: true });
  },
  fields: () => ['traceparent'],
};

const silent = { log: () => {}, warn: () => {}, error: () => {}, debug: () => {} };

let spans: InMemorySpanExporter;
let figures: InMemoryMetricExporter;
let reader: PeriodicExportingMetricReader;

beforeEach(() => {
  spans = new InMemorySpanExporter();
  figures = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  reader = new PeriodicExportingMetricReader({ exporter: figures, exportIntervalMillis: 2 ** 30 });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }));
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
  propagation.setGlobalPropagator(traceContext as never);
});
afterEach(() => {
  for (const api of [trace, metrics, context, propagation]) api.disable();
});

async function started(...providers: (new (...args: never[]) => object)[]) {
  const broker = new MemoryBroker();
  const module: TestingModule = await Test.createTestingModule({
    imports: [
      EventingModule.forRoot({ service: 'shop', provider: memory({ broker }), logger: silent }),
      EventingTelemetryModule,
    ],
    providers,
  }).compile();
  onTestFinished(() => module.close());
  await module.init();
  return { broker, events: module.get(EventManager), module };
}

const named = (name: string): ReadableSpan[] => spans.getFinishedSpans().filter((span) => span.name === name);
const only = (name: string): ReadableSpan => {
  const [span] = named(name);
  if (span === undefined || named(name).length > 1) throw new Error(`${named(name).length} spans are called ${name}`);
  return span;
};

async function points(metric: string): Promise<DataPoint<number | Histogram>[]> {
  await reader.forceFlush();
  const latest = figures.getMetrics().at(-1)?.scopeMetrics ?? [];
  return latest
    .flatMap(({ metrics: found }) => found)
    .filter(({ descriptor }) => descriptor.name === metric)
    .flatMap(({ dataPoints }) => dataPoints as DataPoint<number | Histogram>[]);
}

describe('traces', () => {
  it('lead from the caller through the send to the listener, and on to what it sends', async () => {
    @EventListener(OrderPlaced)
    class Orders implements EventListener<OrderPlaced> {
      constructor(private readonly events: EventManager) {}
      async on({ id }: OrderPlaced): Promise<void> {
        await this.events.sendEvent(ReceiptDue, { id });
      }
    }
    @EventListener(ReceiptDue)
    class Receipts implements EventListener<ReceiptDue> {
      on(): void {
        trace.getTracer('test').startSpan('inside').end();
      }
    }
    Reflect.defineMetadata('design:paramtypes', [EventManager], Orders);
    const { broker, events } = await started(Orders, Receipts);
    const request = trace.getTracer('test').startSpan('request');
    const sent = await context.with(trace.setSpan(context.active(), request), () =>
      events.sendEvent(OrderPlaced, { id: '1' }),
    );
    request.end();
    await broker.idle();
    const chain = ['request', 'send orders', 'process orders', 'send receipts', 'process receipts', 'inside'].map(only);
    for (const [index, span] of chain.slice(1).entries()) {
      expect(span.parentSpanContext?.spanId, span.name).toBe(chain[index]?.spanContext().spanId);
      expect(span.spanContext().traceId).toBe(request.spanContext().traceId);
    }
    expect(only('send orders')).toMatchObject({
      kind: SpanKind.PRODUCER,
      attributes: {
        'messaging.system': 'memory',
        'messaging.destination.name': 'orders',
        'messaging.operation.name': 'send',
        'messaging.operation.type': 'send',
        'messaging.message.id': sent.id,
        'messaging.message.conversation_id': sent.correlationId,
      },
    });
    expect(only('process orders')).toMatchObject({
      kind: SpanKind.CONSUMER,
      attributes: {
        'messaging.operation.type': 'process',
        'messaging.consumer.group.name': 'shop.Orders',
        'messaging.message.id': sent.id,
        'eventing.attempt': 1,
      },
      links: [{ context: { spanId: only('send orders').spanContext().spanId } }],
    });
  });

  it('have a span for each attempt, with the error of those that failed', async () => {
    @EventListener(OrderPlaced, { retry: { attempts: 2, delay: 1 } })
    class Orders implements EventListener<OrderPlaced> {
      on(_: OrderPlaced, { attempt }: Envelope): void {
        if (attempt === 1) throw new TypeError('once');
      }
    }
    const { broker, events } = await started(Orders);
    await events.sendEvent(OrderPlaced, { id: '1' });
    await broker.idle();
    const [first, second] = named('process orders');
    expect(first).toMatchObject({
      status: { code: SpanStatusCode.ERROR, message: 'once' },
      attributes: { 'error.type': 'TypeError', 'eventing.attempt': 1 },
    });
    expect(second).toMatchObject({ status: { code: SpanStatusCode.UNSET }, attributes: { 'eventing.attempt': 2 } });
  });

  it('have one span for a batch, linked to each send', async () => {
    @EventListener(OrderPlaced, { batch: { size: 3, wait: 1000 }, retry: { attempts: 1 } })
    class Bulk implements BatchEventListener<OrderPlaced> {
      onBatch(): void {
        throw new BatchError([{ index: 0, error: new RejectEvent('bad') }]);
      }
    }
    const { broker, events } = await started(Bulk);
    await Promise.all(['a', 'b', 'c'].map((id) => events.sendEvent(OrderPlaced, { id })));
    await broker.idle();
    const span = only('process orders');
    expect(span.attributes['messaging.batch.message_count']).toBe(3);
    expect(span.links.map((link) => link.context.spanId).sort()).toEqual(
      named('send orders')
        .map((sent) => sent.spanContext().spanId)
        .sort(),
    );
    expect(span.parentSpanContext).toBeUndefined();
  });

  it('tell of a send that failed, by its code', async () => {
    const { broker, events } = await started();
    broker.faults.rejectNext(1);
    await expect(events.sendEvent(OrderPlaced, { id: '1' })).rejects.toMatchObject({ code: 'EVT_PUBLISH_FAILED' });
    expect(only('send orders')).toMatchObject({
      status: { code: SpanStatusCode.ERROR },
      attributes: { 'error.type': 'EVT_PUBLISH_FAILED' },
    });
  });
});

describe('metrics', () => {
  it('count and time what is sent and handled, and count dead letters', async () => {
    @EventListener(OrderPlaced, { retry: { attempts: 1 } })
    class Orders implements EventListener<OrderPlaced> {
      on({ id }: OrderPlaced): void {
        if (id === 'bad') throw new TypeError('bad');
      }
    }
    const { broker, events } = await started(Orders);
    for (const id of ['a', 'b', 'bad']) await events.sendEvent(OrderPlaced, { id });
    await broker.idle();
    expect(await points('messaging.client.sent.messages')).toMatchObject([
      { value: 3, attributes: { 'messaging.system': 'memory', 'messaging.destination.name': 'orders' } },
    ]);
    expect(await points('messaging.client.operation.duration')).toMatchObject([{ value: { count: 3 } }]);
    const consumed = await points('messaging.client.consumed.messages');
    expect(consumed.map(({ value, attributes }) => [attributes['error.type'], value])).toEqual([
      [undefined, 2],
      ['TypeError', 1],
    ]);
    expect(await points('messaging.process.duration')).toMatchObject([
      { value: { count: 2 } },
      { value: { count: 1 } },
    ]);
    expect(await points('eventing.dead_letters')).toMatchObject([
      { value: 1, attributes: { 'eventing.listener.name': 'Orders', 'eventing.dead_letter.reason': 'failed' } },
    ]);
  });
});

describe('without an SDK', () => {
  it('nothing is recorded, and no trace context travels', async () => {
    for (const api of [trace, metrics, context, propagation]) api.disable();
    const got: (string | undefined)[] = [];
    @EventListener(OrderPlaced)
    class Orders implements EventListener<OrderPlaced> {
      on(_: OrderPlaced, { headers }: Envelope): void {
        got.push(headers.get('traceparent'));
      }
    }
    const { broker, events } = await started(Orders);
    await events.sendEvent(OrderPlaced, { id: '1' });
    await broker.idle();
    expect(got).toEqual([undefined]);
    expect(spans.getFinishedSpans()).toEqual([]);
  });

  it('only figures are written where only figures are wanted, and only traces where only those are', async () => {
    trace.disable();
    @EventListener(OrderPlaced)
    class Orders implements EventListener<OrderPlaced> {
      on(): void {}
    }
    const { broker, events } = await started(Orders);
    await events.sendEvent(OrderPlaced, { id: '1' });
    await broker.idle();
    expect(spans.getFinishedSpans()).toEqual([]);
    expect(await points('messaging.client.consumed.messages')).toHaveLength(1);
    metrics.disable();
    trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }));
    const other = await started(Orders);
    await other.events.sendEvent(OrderPlaced, { id: '2' });
    await other.broker.idle();
    expect(new Set(spans.getFinishedSpans().map(({ name }) => name))).toEqual(
      new Set(['send orders', 'process orders']),
    );
  });

  it('traces begin when one is registered later', async () => {
    for (const api of [trace, metrics]) api.disable();
    @EventListener(OrderPlaced)
    class Orders implements EventListener<OrderPlaced> {
      on(): void {}
    }
    const { broker, events } = await started(Orders);
    await events.sendEvent(OrderPlaced, { id: '1' });
    await broker.idle();
    trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }));
    await events.sendEvent(OrderPlaced, { id: '2' });
    await broker.idle();
    expect(new Set(spans.getFinishedSpans().map(({ name }) => name))).toEqual(
      new Set(['send orders', 'process orders']),
    );
  });
});
