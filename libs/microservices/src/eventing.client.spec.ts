// oxlint-disable typescript/no-unnecessary-type-arguments -- it picks the overload: the first one of Nest 12 refuses handlers of other than one parameter
import { Controller, Inject, Injectable, Logger, UseFilters } from '@nestjs/common';
import {
  ClientProxy,
  ClientsModule,
  Ctx,
  EventPattern,
  MessagePattern,
  Payload,
  type ReadPacket,
  RpcException,
} from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import {
  Event,
  type EventClass,
  EventingContext,
  EventingError,
  EventingRuntime,
  EventListener,
  type Envelope,
  EventManager,
  memory,
} from 'nestjs-eventing';
import {
  concat,
  EMPTY,
  finalize,
  firstValueFrom,
  from,
  lastValueFrom,
  NEVER,
  type Observable,
  of,
  Subject,
  throwError,
  toArray,
} from 'rxjs';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { refusal, refusalOf, turn } from '../../eventing/src/kernel.fixture.js';
import {
  EventingClient,
  type EventingClientOptions,
  EventingExceptionFilter,
  type EventingRpcContext,
  EventRecord,
  listenerOptions,
  rmqPackets,
} from './index.js';
import { HybridApp, World } from './microservices.fixture.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'orderId' })
class OrderPlaced {
  orderId!: string;
}

/** A client on the application's runtime, made before the start as a provider would be. */
async function withClient(
  controllers: (new (...args: never[]) => object)[],
  options: Omit<EventingClientOptions, 'runtime'> = {},
): Promise<{ app: HybridApp; client: EventingClient }> {
  const app = await HybridApp.create({ controllers });
  const client = new EventingClient({ ...options, runtime: app.app.get(EventingRuntime) });
  await app.app.startAllMicroservices();
  await app.app.init();
  return { app, client };
}

/** What becomes of an Observable, while the world's clock stands. */
async function outcome<T>(stream: Observable<T>, world: World): Promise<T[]> {
  const all = lastValueFrom(stream.pipe(toArray()));
  all.catch(() => undefined);
  await world.idle();
  return all;
}

describe('emit', () => {
  it('is a send: it gives the envelope when the broker has the event, and reaches patterns and listeners', async () => {
    const got: unknown[] = [];
    @Controller()
    class Orders {
      @EventPattern('orders.placed')
      onPlaced(@Payload() data: unknown): void {
        got.push(['pattern', data]);
      }
      @EventPattern('counted')
      onCounted(@Payload() data: unknown): void {
        got.push(['counted', data]);
      }
    }
    @EventListener(OrderPlaced)
    class Receipts implements EventListener<OrderPlaced> {
      on(event: OrderPlaced): void {
        got.push(['listener', event]);
      }
    }
    const app = await HybridApp.create({ controllers: [Orders], providers: [Receipts] });
    const client = new EventingClient({ runtime: app.app.get(EventingRuntime) });
    await app.app.init();
    const envelope = await firstValueFrom(client.emit<Envelope>('orders.placed', { orderId: 'a' }));
    await lastValueFrom(client.emit('counted', 7));
    await app.idle();
    expect(envelope).toMatchObject({ name: 'orders.placed', key: 'a', source: '/shop' });
    expect(got.sort()).toEqual([
      ['counted', 7],
      ['listener', { orderId: 'a' }],
      ['pattern', { orderId: 'a' }],
    ]);
  });

  it('is hot: it sends once, whether somebody subscribes, often or never', async () => {
    let calls = 0;
    @Controller()
    class Orders {
      @EventPattern<string>('counted')
      onCounted(): void {
        calls++;
      }
    }
    const { app, client } = await withClient([Orders]);
    client.emit('counted', 1);
    const sent = client.emit('counted', 2);
    await Promise.all([lastValueFrom(sent), lastValueFrom(sent)]);
    await app.idle();
    expect(calls).toBe(2);
  });

  it('keeps call order per key, and takes the options of a send', async () => {
    const got: unknown[] = [];
    @Controller()
    class Orders {
      @EventPattern<string>('counted')
      async onCounted(@Payload() data: number, @Ctx() context: EventingRpcContext): Promise<void> {
        await turn();
        const { key, headers } = context.getEnvelope();
        got.push([data, key, headers.get('tenant')]);
      }
    }
    const { app, client } = await withClient([Orders]);
    const headers = { tenant: 'acme' };
    for (const count of [1, 2, 3]) client.emit('counted', new EventRecord(count, { key: 'k', headers }));
    await app.idle();
    expect(got).toEqual([1, 2, 3].map((count) => [count, 'k', 'acme']));
  });

  it("carries a packet's metadata as headers, where Nest has it (12)", async () => {
    const got: unknown[] = [];
    @Controller()
    class Orders {
      @EventPattern(['counted'])
      onCounted(@Payload() data: number, @Ctx() context: EventingRpcContext): void {
        got.push([data, context.getEnvelope().headers.toJSON()]);
      }
    }
    class WithMetadata extends EventingClient {
      protected override createPacket<T>(pattern: unknown, data: T): ReadPacket<T> {
        return { pattern, data, metadata: { trace: 't1', tenant: 'other' } };
      }
    }
    const app = await HybridApp.create({ controllers: [Orders] });
    const client = new WithMetadata({ runtime: app.app.get(EventingRuntime), requests: false });
    await app.app.init();
    client.emit('counted', new EventRecord(1, { headers: { tenant: 'acme' } }));
    await app.idle();
    expect(got).toEqual(
      'createPacket' in ClientProxy.prototype ? [[1, { trace: 't1', tenant: 'acme' }]] : [[1, { tenant: 'acme' }]],
    );
  });

  it('inherits the story of the event that is being handled', async () => {
    let inner: Envelope | undefined;
    let outer: Envelope | undefined;
    let client!: EventingClient;
    @Controller()
    class Orders {
      @EventPattern('first')
      async onFirst(@Ctx() context: EventingRpcContext): Promise<void> {
        outer = context.getEnvelope();
        inner = await firstValueFrom(client.emit<Envelope>('second', 1));
      }
    }
    const made = await withClient([Orders]);
    ({ client } = made);
    made.app.app.get(EventingContext).run({ correlationId: 'story' }, () => client.emit('first', 1));
    await made.app.idle();
    expect([inner?.correlationId, inner?.causationId]).toEqual(['story', outer?.id]);
  });

  it('that fails rejects who subscribes, and is logged where nobody does', async () => {
    const error = vi.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    onTestFinished(() => error.mockRestore());
    const { client } = await withClient([]);
    const bad = new EventRecord(1, { key: 7 as never });
    expect((await refusal(lastValueFrom(client.emit('counted', bad)))).code).toBe('EVT_INVALID_SEND_OPTIONS');
    expect(error).not.toHaveBeenCalled();
    client.emit('counted', bad);
    await turn();
    expect(error.mock.calls).toEqual([
      [expect.stringContaining('emit("counted") failed: sendEvent(Pattern(counted))')],
    ]);
  });

  it('of a declared event refuses what does not satisfy it', async () => {
    const { client } = await withClient([], { eventClasses: [OrderPlaced] });
    expect((await refusal(lastValueFrom(client.emit('orders.placed', 7)))).code).toBe('EVT_INVALID_EVENT');
  });
});

describe('send', () => {
  @Controller()
  class Sums {
    @MessagePattern({ cmd: 'sum' })
    sum(@Payload() numbers: number[], @Ctx() context: EventingRpcContext): number {
      if (!context.isRequest) throw new Error('it is a request');
      return numbers.reduce((a, b) => a + b, 0);
    }
    @MessagePattern('later')
    later(): Promise<string> {
      return turn().then(() => 'later');
    }
    @MessagePattern('stream')
    stream(): Observable<number> {
      return from([1, 2, 3]);
    }
    @MessagePattern('nothing')
    nothing(): Observable<never> {
      return EMPTY;
    }
    @MessagePattern('undefined')
    void(): void {
      return undefined;
    }
    @MessagePattern('never')
    never(): Observable<never> {
      return NEVER;
    }
    @MessagePattern('broken')
    broken(): never {
      throw new Error('a secret');
    }
    @MessagePattern('refused')
    refused(): never {
      throw new RpcException({ code: 402 });
    }
    @MessagePattern('breaking')
    breaking(): Observable<number> {
      return concat(
        of(1),
        throwError(() => new RpcException('then no more')),
      );
    }
  }

  it('is answered with the value, and is cold: one request for each who subscribes', async () => {
    const { app, client } = await withClient([Sums]);
    const sum = client.send<number>({ cmd: 'sum' }, [1, 2, 3]);
    expect(await outcome(sum, app.world)).toEqual([6]);
    expect(await outcome(sum, app.world)).toEqual([6]);
    expect(await outcome(client.send('later', {}), app.world)).toEqual(['later']);
    expect(await app.letters()).toEqual([]);
  });

  it.each([
    ['stream', [1, 2, 3]],
    ['nothing', []],
    ['undefined', []],
  ])('of "%s" gives what the Observable gives, in order, then completes', async (pattern, values) => {
    const { app, client } = await withClient([Sums]);
    expect(await outcome(client.send(pattern, {}), app.world)).toEqual(values);
  });

  it('gives parts as they come', async () => {
    @Controller()
    class Ticks {
      @MessagePattern('ticks')
      ticks(): Observable<number> {
        return source.asObservable();
      }
    }
    const source = new Subject<number>();
    const { app, client } = await withClient([Ticks]);
    const got: unknown[] = [];
    client.send('ticks', {}).subscribe({ next: (value) => got.push(value), complete: () => got.push('done') });
    await app.world.clock.advance(0);
    source.next(1);
    await app.world.clock.advance(0);
    expect(got).toEqual([1]);
    source.next(2);
    source.complete();
    await app.idle();
    expect(got).toEqual([1, 2, 'done']);
  });

  it.each([
    ['broken', { status: 'error', message: 'Internal server error' }],
    ['refused', { code: 402 }],
    ['breaking', { status: 'error', message: 'then no more' }],
  ])('of "%s" errors with what Nest’s filters reply, and nothing is retried', async (pattern, reply) => {
    const { app, client } = await withClient([Sums]);
    await expect(outcome(client.send(pattern, {}), app.world)).rejects.toEqual(reply);
    expect(await app.letters()).toEqual([]);
  });

  it('tells no more of an error where EventingExceptionFilter is bound', async () => {
    @UseFilters(EventingExceptionFilter)
    @Controller()
    class Secrets {
      @MessagePattern('secret')
      secret(): never {
        throw new Error('a secret');
      }
    }
    const { app, client } = await withClient([Secrets]);
    await expect(outcome(client.send('secret', {}), app.world)).rejects.toEqual({
      status: 'error',
      message: 'Internal server error',
    });
  });

  it('that nobody answers fails in time, and what comes later is passed over', async () => {
    const { app, client } = await withClient([Sums], { timeout: 5_000 });
    for (const pattern of ['never', 'unheard-of']) {
      const asked = lastValueFrom(client.send(pattern, {}));
      asked.catch(() => undefined);
      await app.world.clock.advance(4_999);
      await app.world.clock.advance(1);
      expect(await refusal(asked)).toMatchObject({
        code: 'EVT_REQUEST_TIMEOUT',
        message: expect.stringContaining(`"${pattern}" was not answered within 5000 ms`),
      });
    }
  });

  it('whose answer cannot be written errors at once, and the server has a dead letter', async () => {
    @Controller()
    class Sums {
      @MessagePattern('big')
      big(): bigint {
        return 1n;
      }
      @MessagePattern('big-stream')
      bigStream(): Observable<unknown> {
        return concat(of(1), of(2n), NEVER);
      }
    }
    const { app, client } = await withClient([Sums]);
    const reply = { status: 'error', message: 'Internal server error' };
    await expect(outcome(client.send('big', {}), app.world)).rejects.toEqual(reply);
    await expect(outcome(client.send('big-stream', {}), app.world)).rejects.toEqual(reply);
    expect((await app.letters()).map(({ error }) => error.code)).toEqual(['EVT_UNSERIALIZABLE', 'EVT_UNSERIALIZABLE']);
  });

  it('of a handler that takes too long errors when its time is over, and its Observable is left', async () => {
    let left = 0;
    @Controller()
    class Slow {
      @MessagePattern('slow', listenerOptions({ timeout: 1_000 }))
      slow(): Observable<never> {
        return NEVER.pipe(finalize(() => left++));
      }
    }
    const { app, client } = await withClient([Slow]);
    const asked = lastValueFrom(client.send('slow', {}));
    asked.catch(() => undefined);
    for (let second = 0; second < 3; second++) await app.world.clock.advance(1_000);
    await expect(asked).rejects.toMatchObject({ message: expect.stringContaining('did not return within 1000 ms') });
    expect(left).toBe(1);
  });

  it('waits longer where parts come, and for a time of its own where one is given', async () => {
    const { app, client } = await withClient([]);
    const asked = lastValueFrom(client.send('x', new EventRecord({}, { timeout: 100 })));
    asked.catch(() => undefined);
    await app.world.clock.advance(100);
    expect((await refusal(asked)).message).toContain('within 100 ms');
  });

  it('is bounded', async () => {
    const { app, client } = await withClient([Sums], { maxRequests: 2 });
    const open = [client.send('never', {}), client.send('never', {})].map((stream) => stream.subscribe());
    await app.world.clock.advance(0);
    expect(await refusal(outcome(client.send('never', {}), app.world))).toMatchObject({ code: 'EVT_BUFFER_FULL' });
    for (const subscription of open) subscription.unsubscribe();
    expect(await outcome(client.send({ cmd: 'sum' }, [1]), app.world)).toEqual([1]);
  });

  it('whose sending fails, fails', async () => {
    const { app, client } = await withClient([Sums]);
    const asked = outcome(client.send('never', new EventRecord({}, { key: 7 as never })), app.world);
    expect((await refusal(asked)).code).toBe('EVT_INVALID_SEND_OPTIONS');
  });

  it('before the application has started is refused, and under requests: false as well', async () => {
    const app = await HybridApp.create({});
    const runtime = app.app.get(EventingRuntime);
    const early = await refusal(lastValueFrom(new EventingClient({ runtime }).send('x', {})));
    expect(early.code).toBe('EVT_NOT_RUNNING');
    await app.app.init();
    const never = await refusal(lastValueFrom(new EventingClient({ runtime, requests: false }).send('x', {})));
    expect(never).toMatchObject({ code: 'EVT_INVALID_OPTIONS', message: expect.stringContaining('requests: false') });
  });

  it('finds the way from one service to another and back; others of its service pass the reply over', async () => {
    const world = new World();
    const server = await HybridApp.start({ controllers: [Sums] }, {}, world, 'math');
    const clients = await Promise.all(
      ['shop', 'shop', 'audit'].map(async (service) => {
        const client = new EventingClient({ ...world.eventing(service) });
        onTestFinished(() => world.close(client));
        await client.connect();
        return client;
      }),
    );
    const answers = clients.flatMap((client, index) =>
      Array.from({ length: 20 }, (_, n) => lastValueFrom(client.send<number>({ cmd: 'sum' }, [index, n]))),
    );
    await world.idle();
    expect(await Promise.all(answers)).toEqual(
      [0, 1, 2].flatMap((index) => Array.from({ length: 20 }, (_, n) => index + n)),
    );
    expect(await server.letters()).toEqual([]);
  });

  it('is answered by one instance of a service', async () => {
    const world = new World();
    let calls = 0;
    @Controller()
    class Once {
      @MessagePattern('once')
      once(): number {
        return ++calls;
      }
    }
    await HybridApp.start({ controllers: [Once] }, {}, world, 'math');
    await HybridApp.start({ controllers: [Once] }, {}, world, 'math');
    const client = new EventingClient(world.eventing());
    onTestFinished(() => world.close(client));
    await client.connect();
    expect(await outcome(client.send('once', {}), world)).toEqual([1]);
  });
});

describe('what cannot be answered', () => {
  const asked = async (headers: Record<string, string>): Promise<string> => {
    @Controller()
    class Sums {
      @MessagePattern('sum')
      sum(): number {
        throw new Error('it was called');
      }
    }
    const app = await HybridApp.start({ controllers: [Sums] });
    const type = app.app.get(EventingRuntime).registry.find('sum', 1)?.type;
    if (type === undefined) throw new Error('the pattern is not there');
    await app.app.get(EventManager).sendEvent(type, { data: 1 }, { headers });
    await app.idle();
    const letter = await app.letter();
    expect(letter).toMatchObject({ reason: 'rejected' });
    return letter.error.message;
  };

  it.each([
    [{ 'nest-reply-to': 'orders', 'nest-reply-instance': 'i' }, 'which is no reply channel'],
    [{ 'nest-reply-to': 'shop.replies' }, 'which is no reply channel'],
    [{ 'nest-foreign-request': 'kafka' }, 'its sender is no EventingClient'],
    [{ 'nest-reply-to': 'shop.replies', 'nest-reply-instance': 'i', 'nest-reply-before': '1' }, 'nobody waits for it'],
  ])('is a dead letter, and no handler is called: %j', async (headers, why) => {
    expect(await asked(headers)).toContain(why);
  });

  it('is one reply channel too many: their names come from outside, and each costs a topic', async () => {
    @Controller()
    class Sums {
      @MessagePattern('sum')
      sum(): number {
        return 1;
      }
    }
    const app = await HybridApp.start({ controllers: [Sums] });
    const type = app.app.get(EventingRuntime).registry.find('sum', 1)?.type as EventClass;
    for (let service = 0; service < 257; service++) {
      const headers = { 'nest-reply-to': `s${service}.replies`, 'nest-reply-instance': 'i' };
      await app.app.get(EventManager).sendEvent(type, { data: 1 }, { headers });
    }
    await app.idle();
    expect((await app.letter()).error.message).toContain('it would be the 257th reply channel');
  });

  it('is not an event of a message pattern: the handler is called, and nothing is replied', async () => {
    const got: unknown[] = [];
    @Controller()
    class Sums {
      @MessagePattern('sum')
      sum(@Payload() data: unknown): number {
        got.push(data);
        return 1;
      }
    }
    const { app, client } = await withClient([Sums]);
    await lastValueFrom(client.emit('sum', 3));
    await app.idle();
    expect(got).toEqual([3]);
  });
});

describe('an EventingClient', () => {
  it('is a client of ClientsModule, with a runtime of its own, closed with the application', async () => {
    const world = new World();
    const got: unknown[] = [];
    @Controller()
    class Orders {
      @EventPattern('counted')
      onCounted(@Payload() data: unknown): void {
        got.push(data);
      }
    }
    await HybridApp.start({ controllers: [Orders] }, {}, world, 'math');
    @Injectable()
    class Sender {
      constructor(@Inject('ORDERS') readonly client: ClientProxy) {}
    }
    const clients = ClientsModule.register([
      { name: 'ORDERS', customClass: EventingClient, options: { ...world.eventing('sender') } },
    ]);
    const module = await Test.createTestingModule({ imports: [clients], providers: [Sender] }).compile();
    const { client } = module.get(Sender);
    await lastValueFrom(client.emit('counted', 1));
    await world.idle();
    expect(got).toEqual([1]);
    expect(client.unwrap<EventingRuntime>().ready).toBe(true);
    await module.init();
    await world.close(module);
    expect(client.unwrap<EventingRuntime>().ready).toBe(false);
  });

  it('fails what waits when it is closed', async () => {
    const client = new EventingClient(new World().eventing());
    await client.connect();
    const asked = lastValueFrom(client.send('x', {}));
    asked.catch(() => undefined);
    await turn();
    await client.close();
    expect((await refusal(asked)).code).toBe('EVT_NOT_RUNNING');
  });

  it('that is a provider fails what waits when the application shuts down', async () => {
    const app = await HybridApp.create({
      providers: [
        {
          provide: EventingClient,
          inject: [EventingRuntime],
          useFactory: (runtime: EventingRuntime) => new EventingClient({ runtime }),
        },
      ],
    });
    await app.app.init();
    const asked = lastValueFrom(app.app.get(EventingClient).send('x', {}));
    asked.catch(() => undefined);
    await app.idle();
    await app.world.close(app.app);
    expect((await refusal(asked)).code).toBe('EVT_NOT_RUNNING');
    expect(app.world.clock.pending).toBe(0);
  });

  it('fails its own requests only: another client of the runtime goes on', async () => {
    const { app, client } = await withClient([]);
    const other = new EventingClient({ runtime: client.unwrap<EventingRuntime>() });
    const [mine, theirs] = [client, other].map((each) =>
      lastValueFrom(each.send('x', new EventRecord({}, { timeout: 50 }))),
    );
    for (const asked of [mine, theirs]) asked?.catch(() => undefined);
    await app.idle();
    await client.close();
    await app.world.clock.advance(50);
    expect([(await refusal(mine as Promise<unknown>)).code, (await refusal(theirs as Promise<unknown>)).code]).toEqual([
      'EVT_NOT_RUNNING',
      'EVT_REQUEST_TIMEOUT',
    ]);
  });

  it('connects again after a start that failed', async () => {
    const world = new World();
    let failures = 1;
    const factory = memory({ broker: world.broker });
    const client = new EventingClient({
      ...world.eventing(),
      provider: {
        kind: 'memory',
        create(context) {
          const provider = factory.create(context);
          const { start } = provider;
          provider.start = (channels) =>
            failures-- > 0
              ? Promise.reject(new EventingError('EVT_AUTHENTICATION', 'who are you?'))
              : start.call(provider, channels);
          return provider;
        },
      },
    });
    onTestFinished(() => world.close(client));
    const failed = client.connect();
    failed.catch(() => undefined);
    await world.clock.advance(0);
    expect((await refusal(failed)).code).toBe('EVT_AUTHENTICATION');
    await expect(lastValueFrom(client.emit('x', 1))).resolves.toMatchObject({ name: 'x' });
  });

  it.each([[{ timeout: 0 }], [{ maxRequests: Number.NaN }]])('refuses %j', (options) => {
    const { code, message }: EventingError = refusalOf(() => new EventingClient(options));
    expect([code, message]).toEqual([
      'EVT_INVALID_OPTIONS',
      expect.stringContaining(Object.keys(options)[0] as string),
    ]);
  });

  it('must look at a pattern as its transport does', async () => {
    @Controller()
    class Orders {
      @EventPattern<string>('counted')
      onCounted(): void {
        throw new Error('it was called');
      }
    }
    const { client } = await withClient([Orders], { packets: rmqPackets() });
    expect(await refusal(lastValueFrom(client.emit('counted', 1)))).toMatchObject({
      code: 'EVT_INVALID_PATTERN',
      message: expect.stringContaining('bridged as cloudevents and as nest-rmq'),
    });
  });
});
