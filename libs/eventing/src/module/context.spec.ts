import { Inject } from '@nestjs/common';
import {
  Envelope,
  EnvelopePipeline,
  Event,
  type EventDescriptor,
  EventingContext,
  EventListener,
  EventManager,
  type Next,
  type OutgoingMessage,
  type UnitOfWork,
} from 'nestjs-eventing';
import { describe, expect, it } from 'vitest';
import { Gate, refusal, turn } from '../kernel.fixture.js';
import { ce, ScriptedProvider } from '../scripted.provider.fixture.js';
import { TestApp } from '../test.app.fixture.js';

@Event({ name: 'a', key: 'id' })
class A {
  id!: string;
}
@Event({ name: 'b', key: 'id' })
class B {
  id!: string;
}
@Event({ name: 'c', key: 'id' })
class C {
  id!: string;
}

/** A → B → C, and what each listener was handed. */
async function chain(options: Parameters<typeof TestApp.start>[1] = {}, more: unknown[] = []) {
  const got = new Map<string, Envelope>();
  @EventListener(A)
  class OnA implements EventListener<A> {
    constructor(@Inject(EventManager) private readonly events: EventManager) {}
    async on({ id }: A, envelope: Envelope<A>): Promise<void> {
      got.set(`a${id}`, envelope);
      await turn();
      await this.events.sendEvent(B, { id });
    }
  }
  @EventListener(B)
  class OnB implements EventListener<B> {
    constructor(@Inject(EventManager) private readonly events: EventManager) {}
    async on({ id }: B, envelope: Envelope<B>): Promise<void> {
      got.set(`b${id}`, envelope);
      await turn();
      await this.events.sendEvent(C, { id });
    }
  }
  @EventListener(C)
  class OnC implements EventListener<C> {
    on({ id }: C, envelope: Envelope<C>): void {
      got.set(`c${id}`, envelope);
    }
  }
  const app = await TestApp.start({ providers: [OnA, OnB, OnC, ...(more as [])] }, options);
  const envelope = (name: string): Envelope => {
    const found = got.get(name);
    if (found === undefined) throw new Error(`nobody got ${name}: ${[...got.keys()].join(', ')}`);
    return found;
  };
  return { app, envelope, got };
}

describe('correlation and causation', () => {
  it('run through two hops: one story, each event caused by the one before', async () => {
    const { app, envelope } = await chain();
    const first = await app.events.sendEvent(A, { id: '1' });
    await app.idle();
    const [a, b, c] = ['a1', 'b1', 'c1'].map(envelope) as [Envelope, Envelope, Envelope];
    expect(a.id).toBe(first.id);
    expect([a.correlationId, b.correlationId, c.correlationId]).toEqual([a.id, a.id, a.id]);
    expect([a.causationId, b.causationId, c.causationId]).toEqual([undefined, a.id, b.id]);
  });

  it('begin with the scope around the first send, where there is one', async () => {
    const { app, envelope } = await chain();
    await app.context.run({ correlationId: 'request-7' }, () => app.events.sendEvent(A, { id: '1' }));
    await app.idle();
    expect(envelope('a1')).toMatchObject({ correlationId: 'request-7', causationId: undefined });
    expect(envelope('c1')).toMatchObject({ correlationId: 'request-7', causationId: envelope('b1').id });
  });

  it('never mix between events that are handled at the same time', async () => {
    const { app, envelope } = await chain();
    const ids = Array.from({ length: 40 }, (_, index) => String(index));
    const sent = await Promise.all(ids.map((id) => app.events.sendEvent(A, { id })));
    await app.idle();
    for (const [index, id] of ids.entries()) {
      expect(envelope(`c${id}`).correlationId).toBe(sent[index]?.id);
      expect(envelope(`c${id}`).causationId).toBe(envelope(`b${id}`).id);
    }
  });

  it('do not leak from whoever happened to wake the kernel', async () => {
    let seen: unknown = 'nobody came';
    @EventListener(C, { name: 'spy' })
    class Spy implements EventListener<C> {
      constructor(@Inject(EventingContext) private readonly context: EventingContext) {}
      on(): void {
        seen = this.context.current();
      }
    }
    const provider = new ScriptedProvider();
    const app = await TestApp.start({ providers: [Spy] }, { provider: provider.factory });
    const unitOfWork: UnitOfWork = { stage: () => Promise.resolve() };
    app.context.run({ correlationId: 'the publisher', headers: new Map([['tenant', 't']]), unitOfWork }, () =>
      provider.deliver(),
    );
    expect(seen).toMatchObject({ correlationId: 'e0', causationId: 'e0' });
    expect(seen).not.toHaveProperty('unitOfWork');
    expect((seen as { headers?: unknown }).headers).toBeUndefined();
  });

  it('are there for what a listener sends after it has returned', async () => {
    const gate = new Gate();
    let late: Promise<Envelope> | undefined;
    @EventListener(A)
    class Background implements EventListener<A> {
      constructor(@Inject(EventManager) private readonly events: EventManager) {}
      on({ id }: A): void {
        late = gate.promise.then(() => this.events.sendEvent(B, { id }));
      }
    }
    const app = await TestApp.start({ providers: [Background] });
    const { id } = await app.events.sendEvent(A, { id: '1' });
    await app.idle();
    gate.open();
    expect(await late).toMatchObject({ correlationId: id, causationId: id });
  });

  it('may be set by the sender', async () => {
    const { app } = await chain();
    const envelope = await app.context.run({ correlationId: 'scope' }, () =>
      app.events.sendEvent(C, { id: '1' }, { correlationId: 'own' }),
    );
    expect(envelope.correlationId).toBe('own');
  });
});

describe('headers', () => {
  it('are inherited over hops where propagate names them, and no others', async () => {
    const { app, envelope } = await chain({ propagate: ['session'] });
    await app.events.sendEvent(A, { id: '1' }, { headers: { session: 's1', secret: 'x' } });
    await app.idle();
    expect(envelope('a1').headers.toJSON()).toEqual({ session: 's1', secret: 'x' });
    expect(envelope('b1').headers.toJSON()).toEqual({ session: 's1' });
    expect(envelope('c1').headers.toJSON()).toEqual({ session: 's1' });
  });

  it('are not inherited by default', async () => {
    const { app, envelope } = await chain();
    await app.events.sendEvent(A, { id: '1' }, { headers: { session: 's1' } });
    await app.idle();
    expect(envelope('b1').headers.size).toBe(0);
  });

  it('carry the trace on over hops, always', async () => {
    const { app, envelope } = await chain();
    const trace = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', tracestate: 'vendor=1' };
    await app.publishRaw({ channel: 'a', key: 'k', headers: ce('a', trace), body: Buffer.from('{"id":"1"}') });
    await app.idle();
    for (const name of ['a1', 'b1', 'c1']) expect(envelope(name).headers.toJSON()).toEqual(trace);
  });

  it('of the scope around are carried, the trace too, unless the sender sets them', async () => {
    const { app, envelope } = await chain();
    const headers = new Map([
      ['tenant', 't1'],
      ['locale', 'de'],
      ['traceparent', '00-1-2-01'],
    ]);
    await app.context.run({ headers }, () => app.events.sendEvent(A, { id: '1' }, { headers: { locale: 'fr' } }));
    await app.idle();
    expect(envelope('a1').headers.toJSON()).toEqual({ tenant: 't1', locale: 'fr', traceparent: '00-1-2-01' });
  });

  it('of the scope around are held to the rules: what cannot travel rejects the send', async () => {
    const { app } = await chain();
    const send = app.context.run({ headers: new Map([['Tenant', 't']]) }, () => app.events.sendEvent(A, { id: '1' }));
    expect(await refusal(send)).toMatchObject({
      code: 'EVT_INVALID_HEADER',
      message: expect.stringContaining('"Tenant"'),
    });
  });

  it('that a listener or pipeline sets do not reach the next attempt', async () => {
    const seen: unknown[] = [];
    @EventListener(C, { retry: { attempts: 3, delay: 10 } })
    class Dirty implements EventListener<C> {
      on(event: C, envelope: Envelope<C>): void {
        seen.push([envelope.headers.toJSON(), event.id]);
        envelope.headers.set('tenant', 'changed').set('more', '1');
        event.id = 'changed';
        if (envelope.attempt < 3) throw new Error('again');
      }
    }
    const app = await TestApp.start({ providers: [Dirty] });
    await app.events.sendEvent(C, { id: '1' }, { headers: { tenant: 't' } });
    await app.clock.advance(1000);
    expect(seen).toEqual([
      [{ tenant: 't' }, '1'],
      [{ tenant: 't' }, '1'],
      [{ tenant: 't' }, '1'],
    ]);
  });

  it('that one listener changes do not reach another', async () => {
    const seen: unknown[] = [];
    class Dirty implements EventListener<C> {
      on(event: C, envelope: Envelope<C>): void {
        seen.push([envelope.headers.toJSON(), event.id]);
        envelope.headers.set('tenant', 'changed');
        event.id = 'changed';
      }
    }
    @EventListener(C)
    class One extends Dirty {}
    @EventListener(C)
    class Two extends Dirty {}
    const app = await TestApp.start({ providers: [One, Two] });
    await app.events.sendEvent(C, { id: '1' }, { headers: { tenant: 't' } });
    await app.idle();
    expect(seen).toEqual([
      [{ tenant: 't' }, '1'],
      [{ tenant: 't' }, '1'],
    ]);
  });
});

describe('a unit of work', () => {
  class Transaction implements UnitOfWork {
    readonly staged: { provider: string; message: OutgoingMessage }[] = [];
    onStage: () => Promise<void> = () => Promise.resolve();
    stage(provider: string, message: OutgoingMessage): Promise<void> {
      this.staged.push({ provider, message });
      return this.onStage();
    }
  }

  it('takes what is sent inside, serialized and through the pipelines; the broker sees nothing', async () => {
    const provider = new ScriptedProvider();
    @EnvelopePipeline()
    class Session implements EnvelopePipeline {
      send(envelope: Envelope, _event: EventDescriptor, next: Next): Promise<void> {
        envelope.headers.set('session', 's1');
        return next();
      }
    }
    const app = await TestApp.start({ providers: [Session] }, { provider: provider.factory });
    const unitOfWork = new Transaction();
    const envelope = await app.context.run({ unitOfWork }, () => app.events.sendEvent(A, { id: '1' }));
    await turn();
    expect(provider.messages).toEqual([]);
    expect(unitOfWork.staged).toMatchObject([
      {
        provider: 'default',
        message: {
          id: envelope.id,
          channel: 'a',
          key: '1',
          headers: { session: 's1' },
          body: Buffer.from('{"id":"1"}'),
        },
      },
    ]);
  });

  it('gets the events of a key in call order', async () => {
    const gates = [new Gate(), new Gate(), new Gate()];
    @EnvelopePipeline()
    class Slow implements EnvelopePipeline {
      async send(envelope: Envelope, _event: EventDescriptor, next: Next): Promise<void> {
        await gates[Number(envelope.headers.get('number'))]?.promise;
        await next();
      }
    }
    const app = await TestApp.start({ providers: [Slow] });
    const unitOfWork = new Transaction();
    const sends = gates.map((_, number) =>
      app.context.run({ unitOfWork }, () =>
        app.events.sendEvent(A, { id: 'k' }, { headers: { number: String(number) } }),
      ),
    );
    for (const gate of gates.toReversed()) {
      gate.open();
      await turn();
    }
    await Promise.all(sends);
    expect(unitOfWork.staged.map(({ message }) => message.headers['number'])).toEqual(['0', '1', '2']);
  });

  it.each([
    ['rejects', (): Promise<void> => Promise.reject(new Error('rolled back'))],
    [
      'throws',
      (): Promise<void> => {
        throw new Error('rolled back');
      },
    ],
  ])('that %s rejects the sender, and nothing is published', async (_how, onStage) => {
    const provider = new ScriptedProvider();
    const app = await TestApp.start({}, { provider: provider.factory });
    const unitOfWork = new Transaction();
    unitOfWork.onStage = onStage;
    const send = app.context.run({ unitOfWork }, () => app.events.sendEvent(A, { id: '1' }));
    await expect(send).rejects.toThrow('rolled back');
    await turn();
    expect(provider.messages).toEqual([]);
  });

  it('stages nothing that is not valid', async () => {
    const app = await TestApp.start();
    const unitOfWork = new Transaction();
    const send = app.context.run({ unitOfWork }, () => app.events.sendEvent(A, Object.create(null) as A, { id: '' }));
    expect((await refusal(send)).code).toBe('EVT_INVALID_SEND_OPTIONS');
    expect(unitOfWork.staged).toEqual([]);
  });

  it('does not reach into the listeners that its events wake', async () => {
    const { app, envelope } = await chain();
    const unitOfWork = new Transaction();
    await app.context.run({ unitOfWork }, async () => {
      // Sent from inside, but not through it.
      await app.publishRaw({ channel: 'b', key: 'k', headers: ce('b'), body: Buffer.from('{"id":"1"}') });
      await app.broker.idle();
    });
    expect(envelope('c1').causationId).toBe('e1');
    expect(unitOfWork.staged).toEqual([]);
  });

  it('ends with the application: Node keeps nothing of it that each promise would have to visit', async () => {
    const app = await TestApp.start();
    const left = await app.context.run({ correlationId: 'c' }, async () => {
      await app.close();
      return app.context.current();
    });
    expect(left).toBeUndefined();
  });
});
