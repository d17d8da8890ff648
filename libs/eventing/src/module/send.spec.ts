import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { IsPositive, IsUUID } from 'class-validator';
import {
  Envelope,
  EnvelopePipeline,
  Event,
  type EventDescriptor,
  EventListener,
  EventManager,
  memory,
  type Next,
  type SendOptions,
} from 'nestjs-eventing';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Gate, refusal, turn, until } from '../kernel.fixture.js';
import { ScriptedProvider } from '../scripted.provider.fixture.js';
import { type AppOptions, TestApp } from '../test.app.fixture.js';

const ID = '5b0b6f1e-6a5f-4b7a-9d8e-0c4d3f2a1b00';

@Event({ name: 'orders.placed', version: 2, channel: 'orders', key: 'orderId' })
class OrderPlaced {
  @IsUUID() orderId!: string;
  @IsPositive() total!: number;
}
@Event({ name: 'ping' })
class Ping {
  number?: number;
}
class Undecorated {}

const order = (total = 1): OrderPlaced => ({ orderId: ID, total });

/** An application that only sends, to a provider that writes down what it gets. */
async function sending(providers: unknown[] = [], options: AppOptions = {}) {
  const provider = new ScriptedProvider();
  const app = await TestApp.start({ providers: providers as [] }, { provider: provider.factory, ...options });
  return { app, provider, events: app.events };
}

describe('an event that is sent', () => {
  it("travels as CloudEvent with its class's name, version, channel and key", async () => {
    const { app, provider, events } = await sending();
    const envelope = await events.sendEvent(OrderPlaced, order());
    expect(envelope).toMatchObject({
      name: 'orders.placed',
      version: 2,
      source: '/shop',
      key: ID,
      time: app.clock.now(),
      correlationId: envelope.id,
      causationId: undefined,
      attempt: 0,
    });
    expect(provider.messages).toEqual([
      {
        id: envelope.id,
        channel: 'orders',
        key: ID,
        time: app.clock.now(),
        durable: true,
        body: Buffer.from(JSON.stringify(order())),
        headers: {
          ce_specversion: '1.0',
          ce_id: envelope.id,
          ce_source: '/shop',
          ce_type: 'orders.placed',
          ce_dataversion: '2',
          'content-type': 'application/json',
        },
      },
    ]);
  });

  it('may be an instance, or a class with a body, and has an id of its own each time', async () => {
    const { provider, events } = await sending();
    const own = Object.assign(new OrderPlaced(), order());
    const sent = [
      await events.sendEvent(own),
      await events.sendEvent(OrderPlaced, own),
      await events.sendEvent(OrderPlaced, order()),
    ];
    expect(new Set(sent.map(({ id }) => id)).size).toBe(3);
    expect(new Set(provider.messages.map(({ body }) => Buffer.from(body).toString())).size).toBe(1);
  });

  it('takes its options', async () => {
    const { app, provider, events } = await sending();
    const notBefore = new Date(app.clock.now() + 5000);
    const options: SendOptions = {
      id: 'e1',
      key: 'own',
      correlationId: 'c1',
      headers: { tenant: 't' },
      notBefore,
      expiresIn: 1000,
    };
    const envelope = await events.sendEvent(Object.assign(new Ping(), { number: 1 }), options);
    expect(envelope).toMatchObject({ id: 'e1', key: 'own', correlationId: 'c1', notBefore: notBefore.getTime() });
    expect(envelope.expiresAt).toBe(notBefore.getTime() + 1000);
    expect(provider.messages[0]?.headers).toMatchObject({
      ce_id: 'e1',
      ce_correlationid: 'c1',
      ce_notbefore: notBefore.toISOString(),
      ce_expirytime: new Date(notBefore.getTime() + 1000).toISOString(),
      tenant: 't',
    });
    expect((await events.sendEvent(Ping, {}, { expiresIn: 1000 })).expiresAt).toBe(app.clock.now() + 1000);
  });

  it('goes out in call order per key, whatever each call waits for', async () => {
    const gates = new Map([1, 2, 3].map((total) => [total, new Gate()]));
    @EnvelopePipeline()
    class Slow implements EnvelopePipeline {
      async send(envelope: Envelope, _event: EventDescriptor, next: Next): Promise<void> {
        await gates.get((envelope.body as OrderPlaced).total)?.promise;
        await next();
      }
    }
    const { provider, events } = await sending([Slow]);
    const sends = [1, 2, 3].map((total) => events.sendEvent(OrderPlaced, order(total)));
    const other = events.sendEvent(OrderPlaced, order(4), { key: 'other' });
    gates.get(3)?.open();
    gates.get(2)?.open();
    await other;
    expect(provider.messages.map(({ key }) => key)).toEqual(['other']);
    gates.get(1)?.open();
    await Promise.all(sends);
    expect(provider.messages.slice(1).map(({ body }) => (JSON.parse(String(body)) as OrderPlaced).total)).toEqual([
      1, 2, 3,
    ]);
  });

  it('goes out in call order per key where only some wait for asynchronous rules', async () => {
    const gate = new Gate();
    @Event({
      name: 'slow',
      channel: 'orders',
      key: 'id',
      schema: z.object({ id: z.string() }).refine(() => gate.promise.then(() => true)),
    })
    class Slow {
      id!: string;
    }
    const { provider, events } = await sending();
    const sends = [events.sendEvent(Slow, { id: ID }), events.sendEvent(OrderPlaced, order())];
    await turn();
    expect(provider.messages).toEqual([]);
    gate.open();
    await Promise.all(sends);
    expect(provider.messages.map(({ headers }) => headers['ce_type'])).toEqual(['slow', 'orders.placed']);
  });

  it('goes to the provider with all that is sent in the same turn', async () => {
    const { provider, events } = await sending();
    await Promise.all(Array.from({ length: 50 }, (_, number) => events.sendEvent(Ping, { number })));
    expect(provider.batches.map((batch) => batch.length)).toEqual([50]);
  });

  it('may be sent while modules initialize, before the start, and reaches a listener of this process', async () => {
    const got: unknown[] = [];
    @Injectable()
    class Early implements OnModuleInit {
      constructor(@Inject(EventManager) private readonly events: EventManager) {}
      async onModuleInit(): Promise<void> {
        await this.events.sendEvent(Ping, { number: 1 });
        void this.events.sendEvent(Ping, { number: 2 });
      }
    }
    @EventListener(Ping, { from: 'earliest' })
    class Recorder implements EventListener<Ping> {
      on({ number }: Ping): void {
        got.push(number);
      }
    }
    const app = await TestApp.start({ providers: [Early, Recorder] });
    await app.idle();
    expect(got.sort()).toEqual([1, 2]);
  });

  it('may even be sent by a constructor: what is made later is found at the start all the same', async () => {
    const got: unknown[] = [];
    let early: Promise<unknown> | undefined;
    @Injectable()
    class Eager {
      constructor(@Inject(EventManager) events: EventManager) {
        early = events.sendEvent(Ping, { number: 1 });
      }
    }
    @Injectable()
    class Store {
      readonly name = 'store';
    }
    @EventListener(Ping, { from: 'earliest' })
    class Late implements EventListener<Ping> {
      constructor(@Inject(Store) private readonly store: Store) {}
      on({ number }: Ping): void {
        got.push(`${this.store.name} ${number}`);
      }
    }
    @EnvelopePipeline()
    class Session implements EnvelopePipeline {
      constructor(@Inject(Store) private readonly store: Store) {}
      send(envelope: Envelope, _event: EventDescriptor, next: Next): Promise<void> {
        envelope.headers.set('from', this.store.name);
        return next();
      }
    }
    const made = { provide: 'made', useFactory: async () => (await turn(), new Made()) };
    class Made {
      @EventListener(Ping, { from: 'earliest' })
      onPing(): void {
        got.push('made');
      }
    }
    const app = await TestApp.start({ providers: [Eager, Late, Session, Store, made] });
    await early?.catch(() => undefined);
    const envelope = await app.events.sendEvent(Ping, { number: 2 });
    await app.idle();
    expect(envelope.headers.get('from')).toBe('store');
    expect(got).toContain('store 2');
    expect(got).toContain('made');
  });
});

describe('a sender is rejected, with a code, the culprit and the remedy, and nothing is published', () => {
  async function rejected(
    send: (events: EventManager) => Promise<unknown>,
    providers: unknown[] = [],
    options: AppOptions = {},
  ) {
    const { provider, events } = await sending(providers, options);
    const error = await refusal(send(events));
    await turn();
    await turn();
    expect(provider.messages).toEqual([]);
    return error;
  }

  it.each([
    ['an instance of an undecorated class', new Undecorated(), undefined, 'Undecorated is not an event'],
    ['an undecorated class', Undecorated, {}, 'Undecorated is not an event'],
    ['a plain object', {}, undefined, 'Object is not an event'],
    ['an object without a class', Object.create(null) as object, undefined, 'undefined is not an event'],
  ])('for %s', async (_what, first, second, text) => {
    const error = await rejected((events) => events.sendEvent(first as typeof Ping, second as Ping));
    expect(error).toMatchObject({ code: 'EVT_NOT_AN_EVENT', message: `${text}: decorate the class with @Event().` });
  });

  it.each([[undefined], [null], ['text'], [7], [Symbol('s')], [() => undefined]])(
    'for %s instead of an event',
    async (body) => {
      const byClass = await rejected((events) => events.sendEvent(Ping, body as unknown as Ping));
      expect(byClass).toMatchObject({ code: 'EVT_INVALID_EVENT', message: expect.stringContaining('pass an object') });
      if (typeof body === 'function') return;
      expect(await rejected((events) => events.sendEvent(body as unknown as Ping))).toMatchObject({
        code: 'EVT_INVALID_EVENT',
      });
    },
  );

  it('for a second class of one name and version', async () => {
    @Event({ name: 'ping' })
    class Impostor {}
    const { provider, events } = await sending();
    await events.sendEvent(Ping, {});
    expect(await refusal(events.sendEvent(Impostor, {}))).toMatchObject({
      code: 'EVT_DUPLICATE_EVENT',
      message: expect.stringContaining('Impostor and Ping are both "ping" version 1'),
    });
    expect(provider.messages).toHaveLength(1);
  });

  it('for an event that names an unknown provider', async () => {
    @Event({ provider: 'audit' })
    class Audited {}
    expect(await rejected((events) => events.sendEvent(Audited, {}))).toMatchObject({
      code: 'EVT_UNKNOWN_PROVIDER',
      message: 'Audited names the provider "audit"; configured are default: add it to EventingModule\'s providers.',
    });
  });

  it('for an event, first seen now, that asks for what its provider cannot do', async () => {
    const fleeting = new ScriptedProvider({ durable: false });
    expect(await rejected((events) => events.sendEvent(Ping, {}), [], { provider: fleeting.factory })).toMatchObject({
      code: 'EVT_UNSUPPORTED',
      message: expect.stringContaining('Ping is durable, which scripted cannot give: set durable: false'),
    });
    expect(fleeting.messages).toEqual([]);
  });

  it.each([
    ['a wrong field', { orderId: 'no', total: 1 }, 'orderId must be a UUID'],
    ['a missing field', { orderId: ID }, 'total must be a positive number'],
    ['an unknown field', { orderId: ID, total: 1, admin: true }, 'property admin should not exist'],
    [
      'a field called __proto__',
      JSON.parse(`{"orderId":"${ID}","total":1,"__proto__":{"a":1}}`) as object,
      'a field called __proto__',
    ],
  ])('for %s', async (_what, body, text) => {
    const error = await rejected((events) => events.sendEvent(OrderPlaced, body as OrderPlaced));
    expect(error.code).toBe('EVT_INVALID_EVENT');
    expect(error.message).toMatch(/^OrderPlaced is not valid and was not sent: /);
    expect(error.message).toContain(text);
  });

  it('for a key that cannot be read', async () => {
    @Event({ key: (event: { customer: { id: string } }) => event.customer.id })
    class Billed {}
    expect(await rejected((events) => events.sendEvent(Billed, {}))).toMatchObject({
      code: 'EVT_INVALID_EVENT',
      message: expect.stringContaining('The key of Billed cannot be read'),
    });
  });

  it.each([
    ['throws', () => Promise.reject(new Error('the database is away'))],
    [
      'rejects',
      () => {
        throw new Error('the database is away');
      },
    ],
  ])('for a validator that %s', async (_how, validate) => {
    @Event({ schema: { '~standard': { version: 1, vendor: 'own', validate } } })
    class Checked {}
    expect(await rejected((events) => events.sendEvent(Checked, {}))).toMatchObject({
      code: 'EVT_INVALID_EVENT',
      message: 'Checked could not be validated and was not sent: the database is away.',
      cause: { message: 'the database is away' },
    });
  });

  it.each([
    ['a circle', circle(), /cannot be written as application\/json: .*circular/i],
    ['a big integer', { number: 1n }, /cannot be written as application\/json: .*BigInt/],
    [
      'a key that no receiver would read',
      { nested: JSON.parse('{"__proto__":1}') as object },
      /forbidden prototype property/,
    ],
  ])('for %s', async (_what, body, text) => {
    const error = await rejected((events) => events.sendEvent(Ping, body as Ping));
    expect(error.code).toBe('EVT_UNSERIALIZABLE');
    expect(error.message).toMatch(/^Ping /);
    expect(error.message).toMatch(text);
  });

  it('for a body above maxBodyBytes, and not for one of just that size', async () => {
    const error = await rejected((events) => events.sendEvent(Ping, { number: 1234567 }), [], { maxBodyBytes: 17 });
    expect(error).toMatchObject({
      code: 'EVT_BODY_TOO_LARGE',
      message: 'Ping takes 18 bytes, 17 may travel: send a reference to what is large, or raise maxBodyBytes.',
    });
    const { provider, events } = await sending([], { maxBodyBytes: 17 });
    await events.sendEvent(Ping, { number: 123456 });
    expect(provider.messages[0]?.body.byteLength).toBe(17);
  });

  it('for a body above what the provider can carry', async () => {
    const small = new ScriptedProvider({ largestMessage: 10 });
    expect(
      await rejected((events) => events.sendEvent(Ping, { number: 1 }), [], { provider: small.factory }),
    ).toMatchObject({
      code: 'EVT_BODY_TOO_LARGE',
      message: expect.stringContaining('10 may travel'),
    });
    expect(small.messages).toEqual([]);
  });

  it.each([
    [{ 'Not A Name': 'v' }, '"Not A Name" cannot travel'],
    [{ ce_id: 'v' }, '"ce_id" is reserved'],
    [{ tenant: '\ud800' }, '"tenant" must be well-formed text'],
    [{ tenant: 'x'.repeat(9000) }, 'The headers of Ping take 9006 bytes, 8192 may travel'],
  ])('for headers that cannot travel (%#)', async (headers, text) => {
    expect(await rejected((events) => events.sendEvent(Ping, {}, { headers }))).toMatchObject({
      code: 'EVT_INVALID_HEADER',
      message: expect.stringContaining(text),
    });
  });

  it.each<[SendOptions, string]>([
    [{ id: '' }, 'id must be well-formed text of 1 to 200 characters'],
    [{ id: 'x'.repeat(201) }, 'id must be'],
    [{ id: 'a\u0000' }, 'id must be'],
    [{ correlationId: '\ud800' }, 'correlationId must be'],
    [{ key: 7 as unknown as string }, 'key must be well-formed text'],
    [{ notBefore: new Date(Number.NaN) }, 'notBefore must be a Date or milliseconds since 1970'],
    [{ notBefore: 'tomorrow' as unknown as Date }, 'notBefore must be'],
    [{ expiresIn: 0 }, 'expiresIn must be milliseconds above 0'],
    [{ expiresIn: Number.POSITIVE_INFINITY }, 'expiresIn must be'],
    [{ expiresIn: 8e15 }, 'expiresIn must be milliseconds above 0, at most a century'],
    [{ expiresIn: '5' as unknown as number }, 'expiresIn must be'],
  ])('for the option %j', async (options, text) => {
    expect(await rejected((events) => events.sendEvent(Ping, {}, options))).toMatchObject({
      code: 'EVT_INVALID_SEND_OPTIONS',
      message: expect.stringContaining(`sendEvent(Ping): ${text}`),
    });
  });

  it.each([
    [
      'EVT_PIPELINE_NEXT_TWICE',
      'called next() twice: call it once, and retry elsewhere',
      async (next: Next) => {
        await next();
        await next();
      },
    ],
    [
      'EVT_PIPELINE_NEXT_MISSING',
      'ended without calling next(): call it and return its promise',
      () => Promise.resolve(),
    ],
  ])('for a pipeline that does not keep to next() once: %s', async (code, text, run) => {
    @EnvelopePipeline()
    class Sloppy implements EnvelopePipeline {
      send(_envelope: Envelope, _event: EventDescriptor, next: Next): Promise<void> {
        return run(next);
      }
    }
    expect(await rejected((events) => events.sendEvent(Ping, {}), [Sloppy])).toMatchObject({
      code,
      message: expect.stringContaining(`Sloppy.send ${text}`),
    });
  });

  it('with what a pipeline throws, before or after next()', async () => {
    let after = false;
    @EnvelopePipeline()
    class Guard implements EnvelopePipeline {
      async send(_envelope: Envelope, _event: EventDescriptor, next: Next): Promise<void> {
        if (after) await next();
        throw new Error('no session');
      }
    }
    const { provider, events } = await sending([Guard]);
    await expect(events.sendEvent(Ping, {})).rejects.toThrow('no session');
    after = true;
    await expect(events.sendEvent(Ping, {})).rejects.toThrow('no session');
    await turn();
    expect(provider.messages).toEqual([]);
  });

  it('and the key goes on: a send that was refused holds up none behind it', async () => {
    @EnvelopePipeline()
    class Picky implements EnvelopePipeline {
      async send(envelope: Envelope, _event: EventDescriptor, next: Next): Promise<void> {
        await turn();
        if ((envelope.body as OrderPlaced).total === 1) throw new Error('not this one');
        await next();
      }
    }
    const { provider, events } = await sending([Picky]);
    const sends = await Promise.allSettled([1, 2, 3].map((total) => events.sendEvent(OrderPlaced, order(total))));
    expect(sends.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled']);
    expect(provider.messages).toHaveLength(2);
  });

  it('for a full buffer, and only for what is too much', async () => {
    const provider = new ScriptedProvider();
    const gate = new Gate<[]>();
    provider.onPublish = () => gate.promise;
    const app = await TestApp.start({}, { provider: provider.factory, buffer: { maxEvents: 3 } });
    const sends = Array.from({ length: 5 }, (_, number) => app.events.sendEvent(Ping, { number }));
    for (const late of sends.slice(3))
      expect(await refusal(late)).toMatchObject({
        code: 'EVT_BUFFER_FULL',
        message: '3 sends are open: await some of them, or raise buffer.maxEvents.',
      });
    gate.open([]);
    await Promise.all(sends.slice(0, 3));
    expect(provider.messages).toHaveLength(3);
    await app.events.sendEvent(Ping, {});
  });

  it('for a full in-memory broker, which rejects rather than blocks a listener that sends', async () => {
    @EventListener(Ping)
    class Stuck implements EventListener<Ping> {
      on(): Promise<void> {
        return new Promise(() => undefined);
      }
    }
    const app = await TestApp.start({ providers: [Stuck] }, { provider: memory({ capacity: 2 }), drain: 1 });
    await app.events.sendEvent(Ping, {});
    await app.events.sendEvent(Ping, {});
    expect(await refusal(app.events.sendEvent(Ping, {}))).toMatchObject({
      code: 'EVT_PUBLISH_FAILED',
      message: expect.stringContaining('is full: let its listener catch up, or raise capacity'),
      indeterminate: false,
    });
  });
});

describe('a broker that goes away in the middle', () => {
  it('is waited for: sends arrive when it is back, in order', async () => {
    const got: (number | undefined)[] = [];
    @EventListener(Ping)
    class Recorder implements EventListener<Ping> {
      on({ number }: Ping): void {
        got.push(number);
      }
    }
    const app = await TestApp.start({ providers: [Recorder] });
    app.broker.faults.disconnect();
    expect(app.runtime.ready).toBe(false);
    const sends = [1, 2, 3].map((number) => app.events.sendEvent(Ping, { number }, { key: 'k' }));
    await app.clock.advance(10_000);
    app.broker.faults.connect();
    await Promise.all(sends);
    await app.idle();
    expect(got).toEqual([1, 2, 3]);
    expect(app.runtime.ready).toBe(true);
  });

  it('is waited for no longer than publishTimeout', async () => {
    const app = await TestApp.start({}, { publishTimeout: 1000 });
    await app.events.sendEvent(Ping, {});
    app.broker.faults.disconnect();
    const send = refusal(app.events.sendEvent(Ping, {}));
    await app.clock.advance(1000);
    expect(await send).toMatchObject({ code: 'EVT_PUBLISH_TIMEOUT', indeterminate: false });
  });

  it('may have stored what it did not confirm: the sender is told that nobody knows', async () => {
    const app = await TestApp.start();
    app.broker.faults.loseConfirmNext(1);
    expect(await refusal(app.events.sendEvent(Ping, {}))).toMatchObject({
      code: 'EVT_PUBLISH_TIMEOUT',
      indeterminate: true,
    });
  });

  it('fails one event of a batch alone', async () => {
    const app = await TestApp.start();
    app.broker.faults.rejectNext(1, ({ key }) => key === 'b');
    const sends = await Promise.allSettled(['a', 'b', 'c'].map((key) => app.events.sendEvent(Ping, {}, { key })));
    expect(sends.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(sends[1]).toMatchObject({ reason: { code: 'EVT_PUBLISH_FAILED' } });
  });
});

describe('after the end', () => {
  it('a send is refused, and opens no provider that nobody had used', async () => {
    const { app, provider, events } = await sending();
    await app.module.close();
    expect(await refusal(events.sendEvent(Ping, {}))).toMatchObject({
      code: 'EVT_NOT_RUNNING',
      message: 'The application is shutting down: nothing is sent to "default" any more.',
    });
    await turn();
    expect(provider.journal).toEqual(['stop']);
  });

  it('what was sent before is with the broker', async () => {
    const { app, provider, events } = await sending();
    const sends = Array.from({ length: 20 }, (_, number) => events.sendEvent(Ping, { number }));
    await app.module.close();
    await Promise.all(sends);
    expect(provider.messages).toHaveLength(20);
  });

  it('what the broker did not take within drain is refused, not forgotten', async () => {
    const { app, provider, events } = await sending([], { drain: 2000 });
    provider.onStart = () => new Promise(() => undefined);
    const send = refusal(events.sendEvent(Ping, {}));
    let closed = false;
    const closing = app.module.close().then(() => (closed = true));
    await app.clock.advance(1999);
    expect(closed).toBe(false);
    await app.clock.advance(10);
    expect((await send).code).toBe('EVT_NOT_RUNNING');
    await until(() => closed);
    await closing;
  });
});

function circle(): object {
  const body: Record<string, unknown> = {};
  body['self'] = body;
  return body;
}
