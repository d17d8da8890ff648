// oxlint-disable typescript/no-unnecessary-type-arguments -- it picks the overload: the first one of Nest 12 refuses handlers of other than one parameter
import {
  type ArgumentsHost,
  type CallHandler,
  type CanActivate,
  Catch,
  Controller,
  type ExecutionContext,
  Injectable,
  type NestInterceptor,
  type OnApplicationShutdown,
  Scope,
  UseFilters,
  UseGuards,
  UseInterceptors,
  UsePipes,
  ValidationPipe,
} from '@nestjs/common';
import { Ctx, EventPattern, MessagePattern, Payload, RpcException, Transport } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { IsPositive, IsString } from 'class-validator';
import {
  type Envelope,
  EnvelopePipeline,
  Event,
  type EventDescriptor,
  EventingModule,
  EventingRuntime,
  EventListener,
  EventManager,
  type ListenerDescriptor,
  type Next,
  RejectEvent,
} from 'nestjs-eventing';
import { concat, NEVER, of, tap, throwError, type Observable } from 'rxjs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { refusal, refusalOf, turn } from '../../eventing/src/kernel.fixture.js';
import {
  EventingExceptionFilter,
  EventingRpcContext,
  EventingTransport,
  EVENTING_TRANSPORT,
  listenerOptions,
} from './index.js';
import { HybridApp, World } from './microservices.fixture.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'orderId' })
class OrderPlaced {
  @IsString() orderId!: string;
  @IsPositive() total!: number;
}

const order = { orderId: 'a', total: 2 };

describe('an @EventPattern()', () => {
  it('gets what was sent to its channel, as data, with the envelope in its context', async () => {
    const got: unknown[] = [];
    @Controller()
    class Orders {
      @EventPattern<string>('orders.placed')
      onPlaced(@Payload() data: unknown, @Ctx() context: EventingRpcContext): void {
        got.push(data, context.getPattern(), context.getEnvelope().name, context.isRequest);
      }
    }
    @Event({ name: 'orders.placed' })
    class Sent {
      orderId!: string;
    }
    const world = new World();
    await HybridApp.start({ controllers: [Orders] }, {}, world);
    const sender = await HybridApp.start({}, {}, world, 'sender');
    await sender.events.sendEvent(Sent, { orderId: 'a' });
    await world.idle();
    expect(got).toEqual([{ orderId: 'a' }, 'orders.placed', 'orders.placed', false]);
  });

  it('of a declared event is that event: on its channel, validated, an instance', async () => {
    const got: unknown[] = [];
    @Controller()
    class Orders {
      @EventPattern<string>('orders.placed')
      onPlaced(@Payload() data: OrderPlaced, @Payload('total') total: number): void {
        got.push(data, data instanceof OrderPlaced, total);
      }
    }
    const app = await HybridApp.start({ controllers: [Orders] }, { eventClasses: [OrderPlaced] });
    await app.events.sendEvent(OrderPlaced, order);
    await app.idle();
    expect(got).toEqual([order, true, 2]);
  });

  it('is a listener beside those of this package, and is announced as they are', async () => {
    const got: string[] = [];
    @Controller()
    class Orders {
      @EventPattern<string>('orders.placed')
      onPlaced(): void {
        got.push('pattern');
      }
    }
    @EventListener(OrderPlaced)
    class Receipts implements EventListener<OrderPlaced> {
      on(): void {
        got.push('listener');
      }
    }
    const app = await HybridApp.start({ controllers: [Orders], providers: [Receipts] });
    await app.events.sendEvent(OrderPlaced, order);
    await app.idle();
    expect(got.sort()).toEqual(['listener', 'pattern']);
    expect(app.world.logger.having('Mapped {orders.placed → @EventPattern("orders.placed")}')).toHaveLength(1);
    expect(app.world.logger.having('group shop.orders.placed')).toHaveLength(1);
  });

  it('may be an object, or several', async () => {
    const got: unknown[] = [];
    @Controller()
    class Orders {
      @EventPattern([{ entity: 'order', did: 'placed' }, 'orders.cancelled'])
      onPlaced(@Payload() data: unknown, @Ctx() context: EventingRpcContext): void {
        got.push([context.getPattern(), data]);
      }
    }
    const app = await HybridApp.start({ controllers: [Orders] });
    const runtime = app.app.get(EventingRuntime);
    for (const event of runtime.registry.all()) await app.events.sendEvent(event.type, { data: 7 });
    await app.idle();
    expect(got).toEqual([
      ['{"did":"placed","entity":"order"}', 7],
      ['orders.cancelled', 7],
    ]);
  });

  it('of several handlers calls each; a name makes a listener of its own', async () => {
    const got: string[] = [];
    let failures = 1;
    @Controller()
    class One {
      @EventPattern<string>('orders.placed')
      onPlaced(): void {
        got.push('one');
      }
    }
    @Controller()
    class Two {
      @EventPattern<string>('orders.placed')
      onPlaced(): void {
        got.push('two');
        if (failures-- > 0) throw new Error('not yet');
      }
      @EventPattern<string>('orders.placed', listenerOptions({ name: 'audit' }))
      audit(): void {
        got.push('audit');
      }
    }
    const app = await HybridApp.start({ controllers: [One, Two] }, { eventClasses: [OrderPlaced] });
    await app.events.sendEvent(OrderPlaced, order);
    await app.world.clock.advance(0);
    expect([...got].sort()).toEqual(['audit', 'one', 'two']);
    await app.world.clock.advance(1_000);
    await app.idle();
    // As one listener they are retried together; the one with a name is not.
    expect([...got].sort()).toEqual(['audit', 'one', 'one', 'two', 'two']);
  });

  it('of a mark is for the transport of that mark', async () => {
    const got: string[] = [];
    @Controller()
    class Orders {
      @EventPattern<string>('orders.placed', Transport.KAFKA)
      onKafka(): void {
        got.push('kafka');
      }
      @EventPattern<string>('orders.placed', EVENTING_TRANSPORT)
      onEventing(): void {
        got.push('eventing');
      }
      @EventPattern<string>('orders.placed')
      onAny(): void {
        got.push('any');
      }
    }
    const heard = async (transportId?: Transport): Promise<string[]> => {
      got.length = 0;
      const app = await HybridApp.start({ controllers: [Orders] }, { eventClasses: [OrderPlaced], transportId });
      await app.events.sendEvent(OrderPlaced, order);
      await app.idle();
      return [...got].sort();
    };
    expect(await heard()).toEqual(['any', 'eventing']);
    expect(await heard(Transport.KAFKA)).toEqual(['any', 'kafka']);
  });
});

describe('what a handler throws', () => {
  const throwing = (error: () => unknown): new () => object => {
    @Controller()
    class Orders {
      @EventPattern<string>('orders.placed', listenerOptions({ retry: { attempts: 2, delay: 10 } }))
      onPlaced(): void {
        throw error();
      }
    }
    return Orders;
  };

  it.each([
    ['an error', () => new Error('no line'), 'Internal server error'],
    ['an RpcException', () => new RpcException('no money'), 'no money'],
    ['an RpcException with an object', () => new RpcException({ code: 7 }), '{"code":7}'],
  ])('is retried, then a dead letter: %s', async (_, error, text) => {
    const app = await HybridApp.start({ controllers: [throwing(error)] }, { eventClasses: [OrderPlaced] });
    await app.events.sendEvent(OrderPlaced, order);
    await app.world.clock.advance(0);
    expect(await app.letters()).toEqual([]);
    await app.world.clock.advance(1_000);
    await app.idle();
    const letter = await app.letter();
    expect(letter).toMatchObject({ reason: 'failed', attempts: 2, listener: 'orders.placed' });
    expect(letter.error.code).toBe('EVT_HANDLER_FAILED');
    expect(letter.error.message).toContain(text);
    expect(letter.error.message).toContain('Bind EventingExceptionFilter');
  });

  it('is kept by EventingExceptionFilter', async () => {
    const orders = throwing(() => new TypeError('no line'));
    UseFilters(EventingExceptionFilter)(orders);
    const app = await HybridApp.start({ controllers: [orders] }, { eventClasses: [OrderPlaced] });
    await app.events.sendEvent(OrderPlaced, order);
    await app.world.clock.advance(1_000);
    await app.idle();
    expect((await app.letter()).error).toMatchObject({ name: 'TypeError', message: 'no line' });
  });

  it.each([
    ['RejectEvent', () => new RejectEvent('hopeless')],
    ['RejectEvent in an RpcException', () => new RpcException(new RejectEvent('hopeless'))],
  ])('may be %s, which that filter lets through: a dead letter at once', async (_, error) => {
    const orders = throwing(error);
    UseFilters(EventingExceptionFilter)(orders);
    const app = await HybridApp.start({ controllers: [orders] }, { eventClasses: [OrderPlaced] });
    await app.events.sendEvent(OrderPlaced, order);
    await app.idle();
    expect(await app.letter()).toMatchObject({ reason: 'rejected', attempts: 1, error: { message: 'hopeless' } });
  });

  it('may come from an Observable, whose end is waited for', async () => {
    let calls = 0;
    @UseFilters(EventingExceptionFilter)
    @Controller()
    class Orders {
      @EventPattern<string>('orders.placed', listenerOptions({ retry: { attempts: 1 } }))
      onPlaced(): Observable<number> {
        calls++;
        return concat(
          of(1),
          throwError(() => new Error('in the end')),
        );
      }
    }
    const app = await HybridApp.start({ controllers: [Orders] }, { eventClasses: [OrderPlaced] });
    await app.events.sendEvent(OrderPlaced, order);
    await app.idle();
    expect(calls).toBe(1);
    expect((await app.letter()).error.message).toBe('in the end');
  });

  it('is a timeout where an Observable does not end: it is left', async () => {
    let left = 0;
    @Controller()
    class Orders {
      @EventPattern<string>('orders.placed', listenerOptions({ timeout: 1_000, retry: { attempts: 1 } }))
      onPlaced(): Observable<never> {
        return NEVER.pipe(tap({ unsubscribe: () => left++ }));
      }
    }
    const app = await HybridApp.start({ controllers: [Orders] }, { eventClasses: [OrderPlaced] });
    await app.events.sendEvent(OrderPlaced, order);
    for (let second = 0; second < 4; second++) await app.world.clock.advance(1_000);
    await app.idle();
    expect(left).toBe(1);
    expect((await app.letter()).error.code).toBe('EVT_LISTENER_TIMEOUT');
  });

  it('of several handlers: one error decides, a final one last, and the others are logged', async () => {
    @UseFilters(EventingExceptionFilter)
    @Controller()
    class Orders {
      @EventPattern<string>('orders.placed')
      one(): void {
        throw new RejectEvent('hopeless');
      }
      @EventPattern<string>('orders.placed')
      two(): void {
        throw new Error('not yet');
      }
    }
    const app = await HybridApp.start({ controllers: [Orders] }, { eventClasses: [OrderPlaced] });
    await app.events.sendEvent(OrderPlaced, order);
    await app.world.clock.advance(0);
    expect(await app.letters()).toEqual([]);
    expect(app.world.logger.having('failed at attempt 1 of 5')[0]).toContain('not yet');
    expect(app.world.logger.having('Another handler of "orders.placed" failed too: hopeless')).toHaveLength(1);
  });
});

describe("Nest's own", () => {
  it('guards, pipes, interceptors, filters and scopes run as Nest runs them', async () => {
    const seen: unknown[] = [];
    class Guard implements CanActivate {
      canActivate(context: ExecutionContext): boolean {
        seen.push(`guard ${context.getType()}`);
        return context.switchToRpc().getContext<EventingRpcContext>().getEnvelope().headers.get('tenant') === 'acme';
      }
    }
    class Timing implements NestInterceptor {
      intercept(_: ExecutionContext, next: CallHandler): Observable<unknown> {
        seen.push('interceptor');
        return next.handle().pipe(tap({ complete: () => seen.push('done') }));
      }
    }
    @Catch(RpcException)
    class Forbidden {
      catch(error: RpcException, host: ArgumentsHost): Observable<string> {
        seen.push(`filter ${error.message} ${host.getType()}`);
        return of('dealt with');
      }
    }
    @Injectable({ scope: Scope.REQUEST })
    class PerEvent {
      readonly made = seen.push('made');
    }
    @UseGuards(Guard)
    @UseInterceptors(Timing)
    @UseFilters(Forbidden)
    @Controller()
    class Orders {
      constructor(readonly own: PerEvent) {}

      @UsePipes(new ValidationPipe())
      @EventPattern('orders.placed')
      onPlaced(@Payload() event: OrderPlaced): void {
        seen.push(event.orderId);
      }
    }
    const app = await HybridApp.start(
      { controllers: [Orders], providers: [PerEvent] },
      { eventClasses: [OrderPlaced] },
    );
    await app.events.sendEvent(OrderPlaced, order, { headers: { tenant: 'acme' } });
    await app.idle();
    expect(seen).toEqual(['made', 'guard rpc', 'interceptor', 'a', 'done']);
    seen.length = 0;
    await app.events.sendEvent(OrderPlaced, order);
    await app.idle();
    expect(seen).toEqual(['made', 'guard rpc', 'filter Forbidden resource rpc']);
    expect(await app.letters()).toEqual([]);
  });

  it('instrumentation hooks are called around each event', async () => {
    const seen: unknown[] = [];
    @Controller()
    class Orders {
      @EventPattern<string>('orders.placed')
      onPlaced(): void {
        seen.push('called');
      }
    }
    const app = await HybridApp.start({ controllers: [Orders] }, { eventClasses: [OrderPlaced] });
    app.transport.setOnProcessingStartHook((id, _context, done) => {
      seen.push(id);
      void done();
    });
    app.transport.setOnProcessingEndHook(() => void seen.push('end'));
    await app.events.sendEvent(OrderPlaced, order);
    await app.idle();
    expect(seen).toEqual([EVENTING_TRANSPORT, 'called', 'end']);
  });
});

describe('an EventingTransport on the runtime of the application', () => {
  it('shares its pipelines and its context: what a handler sends belongs to the story', async () => {
    const seen: unknown[] = [];
    @Event({ name: 'mail.sent' })
    class MailSent {
      to!: string;
    }
    @Injectable()
    @EnvelopePipeline()
    class Session implements EnvelopePipeline {
      send(envelope: Envelope, _event: EventDescriptor, next: Next): Promise<void> {
        envelope.headers.set('session', 's1');
        return next();
      }
      handle(envelope: Envelope, listener: ListenerDescriptor, next: Next): Promise<void> {
        seen.push(`${listener.name} ${envelope.headers.get('session')}`);
        return next();
      }
    }
    @Controller()
    class Orders {
      constructor(private readonly events: EventManager) {}
      @EventPattern('orders.placed')
      async onPlaced(@Ctx() context: EventingRpcContext): Promise<void> {
        const { correlationId, causationId } = await this.events.sendEvent(MailSent, { to: 'ada' });
        const { id, correlationId: story } = context.getEnvelope();
        seen.push(correlationId === story, causationId === id);
      }
    }
    const app = await HybridApp.start({ controllers: [Orders], providers: [Session] }, { eventClasses: [OrderPlaced] });
    await app.events.sendEvent(OrderPlaced, order, { correlationId: 'story' });
    await app.idle();
    expect(seen).toEqual(['orders.placed s1', true, true]);
  });

  it('starts with the application also where it is initialized first', async () => {
    const got: string[] = [];
    @Controller()
    class Orders {
      @EventPattern<string>('orders.placed')
      onPlaced(): void {
        got.push('called');
      }
    }
    const hybrid = await HybridApp.create({ controllers: [Orders] }, { eventClasses: [OrderPlaced] });
    await hybrid.app.init();
    await hybrid.app.startAllMicroservices();
    await hybrid.events.sendEvent(OrderPlaced, order);
    await hybrid.idle();
    expect(got).toEqual(['called']);
  });

  it('is there in time where something was sent before it was connected', async () => {
    const got: string[] = [];
    @Controller()
    class Orders {
      @EventPattern<string>('orders.placed')
      onPlaced(): void {
        got.push('called');
      }
    }
    const world = new World();
    const root = EventingModule.forRoot(world.eventing());
    const module = await Test.createTestingModule({ imports: [root], controllers: [Orders] }).compile();
    const app = module.createNestApplication({ logger: false });
    onTestFinished(() => world.close(app));
    const strategy = new EventingTransport({ runtime: app.get(EventingRuntime), eventClasses: [OrderPlaced] });
    await app.get(EventManager).sendEvent(OrderPlaced, order);
    app.connectMicroservice({ strategy });
    await app.startAllMicroservices();
    await app.init();
    await app.get(EventManager).sendEvent(OrderPlaced, order);
    await world.idle();
    expect(got).toEqual(['called']);
  });

  it('that comes after the start is refused', async () => {
    const hybrid = await HybridApp.start({});
    const runtime = hybrid.app.get(EventingRuntime);
    expect(refusalOf(() => new EventingTransport({ runtime })).code).toBe('EVT_BRIDGE_LATE');
  });

  it('whose handlers come after the start is refused too', async () => {
    const hybrid = await HybridApp.start({});
    hybrid.transport.addHandler('late', () => Promise.resolve(of(1)), true);
    const listening = new Promise<void>((resolve, reject) => {
      hybrid.transport.listen((error) => (error === undefined ? resolve() : reject(error)));
    });
    expect((await refusal(listening)).code).toBe('EVT_BRIDGE_LATE');
  });

  it('takes no options that are the application’s', async () => {
    const runtime = (await HybridApp.create({})).app.get(EventingRuntime);
    expect(refusalOf(() => new EventingTransport({ runtime, service: 'x', pipelines: [] }))).toMatchObject({
      code: 'EVT_INVALID_OPTIONS',
      message: "EventingTransport: service, pipelines cannot be given beside runtime: they are the application's.",
    });
  });
});

describe('an EventingTransport alone', () => {
  it('is a microservice without EventingModule, with pipelines that are given to it; closing it drains', async () => {
    const world = new World();
    const seen: string[] = [];
    let release!: () => void;
    const held = new Promise<void>((resolve) => (release = resolve));
    @Controller()
    class Orders {
      @EventPattern<string>('orders.placed')
      async onPlaced(): Promise<void> {
        seen.push('called');
        await held;
        seen.push('finished');
      }
    }
    class Looking implements EnvelopePipeline {
      handle(_envelope: Envelope, _listener: ListenerDescriptor, next: Next): Promise<void> {
        seen.push('pipeline');
        return next();
      }
    }
    const module = await Test.createTestingModule({ controllers: [Orders] }).compile();
    const strategy = new EventingTransport({
      ...world.eventing(),
      pipelines: [new Looking()],
      eventClasses: [OrderPlaced],
    });
    const service = module.createNestMicroservice({ strategy, logger: false });
    await service.listen();
    await strategy.unwrap().events.sendEvent(OrderPlaced, order);
    await world.clock.advance(0);
    expect(seen).toEqual(['pipeline', 'called']);
    const closed = world.close(service).then(() => seen.push('closed'));
    await turn();
    release();
    await closed;
    expect(seen).toEqual(['pipeline', 'called', 'finished', 'closed']);
    const again = new Promise<void>((resolve, reject) => {
      strategy.listen((error) => (error === undefined ? resolve() : reject(error)));
    });
    expect((await refusal(again)).code).toBe('EVT_NOT_RUNNING');
  });

  it('that is a provider of a hybrid application drains when its module is destroyed, before shutdown hooks', async () => {
    const world = new World();
    const seen: string[] = [];
    let release!: () => void;
    const held = new Promise<void>((resolve) => (release = resolve));
    @Controller()
    class Orders implements OnApplicationShutdown {
      @EventPattern<string>('orders.placed')
      async onPlaced(): Promise<void> {
        await held;
        seen.push('finished');
      }
      onApplicationShutdown(): void {
        seen.push('shut down');
      }
    }
    const strategy = new EventingTransport({ ...world.eventing(), eventClasses: [OrderPlaced] });
    const providers = [{ provide: EventingTransport, useValue: strategy }];
    const module = await Test.createTestingModule({ controllers: [Orders], providers }).compile();
    const app = module.createNestApplication({ logger: false });
    app.connectMicroservice({ strategy: app.get(EventingTransport) });
    await app.startAllMicroservices();
    await app.init();
    await strategy.unwrap().events.sendEvent(OrderPlaced, order);
    await world.clock.advance(0);
    const closed = world.close(app);
    await turn();
    release();
    await closed;
    expect(seen).toEqual(['finished', 'shut down']);
  });

  it('tells what its start failed of', async () => {
    @Controller()
    class Orders {
      @EventPattern<string>('orders.placed', listenerOptions({ concurrency: 0 }))
      onPlaced(): void {
        throw new Error('it was called');
      }
    }
    const module = await Test.createTestingModule({ controllers: [Orders] }).compile();
    const service = module.createNestMicroservice({
      strategy: new EventingTransport(new World().eventing()),
      logger: false,
    });
    onTestFinished(() => service.close());
    expect(await refusal(service.listen())).toMatchObject({
      code: 'EVT_INVALID_LISTENER_OPTIONS',
      message: expect.stringContaining('@EventPattern("orders.placed")'),
    });
  });
});

describe('patterns that cannot be bridged', () => {
  it('are refused at the start, all at once', async () => {
    @Controller()
    class Orders {
      @MessagePattern('sum')
      one(): number {
        return 1;
      }
      @MessagePattern('sum')
      two(): number {
        return 2;
      }
      @EventPattern<string>('both')
      both(): void {
        throw new Error('it was called');
      }
      @MessagePattern('both')
      bothToo(): void {
        throw new Error('it was called');
      }
      @EventPattern<string>('placed')
      placed(): void {
        throw new Error('it was called');
      }
      @EventPattern<string>('placed', listenerOptions({ concurrency: 2 }))
      placedToo(): void {
        throw new Error('it was called');
      }
    }
    const hybrid = await HybridApp.create({ controllers: [Orders] });
    const { code, message } = await refusal(hybrid.app.init());
    expect(code).toBe('EVT_START_REFUSED');
    expect(message).toContain('Two handlers answer @MessagePattern("sum")');
    expect(message).toContain('"both" is an @EventPattern() and a @MessagePattern()');
    expect(message).toContain('Handlers of "placed" share the listener "placed" and differ in their options');
  });

  it('are refused at once where they are regular expressions', () => {
    const transport = new EventingTransport(new World().eventing());
    const handler = (): Promise<Observable<number>> => Promise.resolve(of(1));
    expect(refusalOf(() => transport.addHandler(/orders\..*/, handler, true))).toMatchObject({
      code: 'EVT_INVALID_PATTERN',
      message: expect.stringContaining('list the patterns'),
    });
    expect(refusalOf(() => transport.on('connect')).code).toBe('EVT_UNSUPPORTED');
  });
});
