import { type CanActivate, Inject, Injectable, Scope, UseGuards } from '@nestjs/common';
import {
  APP_GUARD,
  type ContextId,
  ContextIdFactory,
  type ContextIdStrategy,
  type HostComponentInfo,
  REQUEST,
} from '@nestjs/core';
import { Envelope, EnvelopePipeline, Event, EventListener } from 'nestjs-eventing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Gate, refusal, until } from '../kernel.fixture.js';
import { TestApp } from '../test.app.fixture.js';

@Event({ name: 'orders.placed', key: 'id' })
class OrderPlaced {
  id!: string;
}

const placed = (app: TestApp, id: string, headers: Record<string, string> = {}): Promise<unknown> =>
  app.events.sendEvent(OrderPlaced, { id }, { headers });

describe('a request-scoped listener', () => {
  it('is made for each attempt, with the envelope at hand wherever it is injected', async () => {
    const made: object[] = [];
    const got: string[] = [];
    @Injectable({ scope: Scope.REQUEST })
    class Session {
      constructor(private readonly envelope: Envelope) {
        made.push(this);
      }
      get tenant(): string | undefined {
        return this.envelope.headers.get('tenant');
      }
    }
    @EventListener(OrderPlaced)
    class Receipts implements EventListener<OrderPlaced> {
      #calls = 0;
      constructor(
        private readonly session: Session,
        private readonly envelope: Envelope,
        @Inject(REQUEST) private readonly request: unknown,
      ) {}
      on({ id }: OrderPlaced, envelope: Envelope): void {
        this.#calls++;
        const own = envelope === this.envelope && envelope === this.request;
        got.push(`${id} ${this.session.tenant} ${envelope.attempt} ${this.#calls} ${own}`);
        if (id === 'b' && envelope.attempt === 1) throw new Error('once');
      }
    }
    const app = await TestApp.start({ providers: [Receipts, Session] });
    await placed(app, 'a', { tenant: 'one' });
    await app.idle();
    await placed(app, 'b', { tenant: 'two' });
    await app.clock.advance(1000);
    expect(got).toEqual(['a one 1 1 true', 'b two 1 1 true', 'b two 2 1 true']);
    expect(new Set(made).size).toBe(3);
    expect(await app.letters()).toEqual([]);
  });

  it('shares its scope with its guards and nobody else, also side by side', async () => {
    const gate = new Gate();
    const got: string[] = [];
    @Injectable({ scope: Scope.REQUEST })
    class Visits {
      readonly names: string[] = [];
    }
    @Injectable({ scope: Scope.REQUEST })
    class NotingGuard implements CanActivate {
      constructor(
        private readonly visits: Visits,
        private readonly envelope: Envelope,
      ) {}
      canActivate(): boolean {
        this.visits.names.push(`guard ${this.envelope.key}`);
        return true;
      }
    }
    class Orders {
      constructor(private readonly visits: Visits) {}
      @UseGuards(NotingGuard)
      @EventListener(OrderPlaced)
      async onPlaced({ id }: OrderPlaced): Promise<void> {
        await gate.promise;
        this.visits.names.push(`listener ${id}`);
        got.push(this.visits.names.join());
      }
    }
    Injectable()(Orders);
    Reflect.defineMetadata('design:paramtypes', [Visits], Orders);
    const app = await TestApp.start({ providers: [Orders, Visits] });
    await Promise.all(['a', 'b', 'c'].map((id) => placed(app, id)));
    await until(() => app.broker.queues().every(({ waiting }) => waiting === 0));
    gate.open();
    await app.idle();
    expect(got.sort()).toEqual(['guard a,listener a', 'guard b,listener b', 'guard c,listener c']);
  });

  it('that cannot be made fails as a listener that throws: it is retried, and ends as a dead letter', async () => {
    let tries = 0;
    @Injectable({ scope: Scope.REQUEST })
    class Connection {
      constructor() {
        tries++;
        throw new Error('no connection');
      }
    }
    @EventListener(OrderPlaced, { retry: { attempts: 3 } })
    class Receipts implements EventListener {
      constructor(readonly connection: Connection) {}
      on(): void {
        throw new Error('it was called');
      }
    }
    const app = await TestApp.start({ providers: [Receipts, Connection] });
    await placed(app, 'a');
    await app.clock.advance(10_000);
    expect(tries).toBe(3);
    expect(await app.letter()).toMatchObject({ attempts: 3, error: { message: 'no connection' } });
  });

  it('may be durable: one a tenant, not one an event', async () => {
    class ByTenant implements ContextIdStrategy<Envelope> {
      readonly #tenants = new Map<string, ContextId>();
      attach(contextId: ContextId, envelope: Envelope) {
        const tenant = envelope.headers.get('tenant') ?? '';
        const parent = this.#tenants.get(tenant) ?? ContextIdFactory.create();
        this.#tenants.set(tenant, parent);
        return {
          resolve: (info: HostComponentInfo) => (info.isTreeDurable ? parent : contextId),
          payload: { tenant },
        };
      }
    }
    ContextIdFactory.apply(new ByTenant());
    onTestFinished(() => ContextIdFactory.apply(undefined as never));
    const made: string[] = [];
    @Injectable({ scope: Scope.REQUEST, durable: true })
    class Database {
      constructor(@Inject(REQUEST) { tenant }: { readonly tenant: string }) {
        made.push(tenant);
      }
    }
    @EventListener(OrderPlaced)
    class Receipts implements EventListener {
      constructor(readonly database: Database) {}
      on(): void {
        made.push('called');
      }
    }
    const app = await TestApp.start({ providers: [Receipts, Database] });
    for (const tenant of ['one', 'two', 'one']) {
      await placed(app, tenant, { tenant });
      await app.idle();
    }
    expect(made).toEqual(['one', 'called', 'two', 'called', 'called']);
  });

  it('is what every listener becomes where a global enhancer that runs on it is request-scoped', async () => {
    const seen: string[] = [];
    @Injectable({ scope: Scope.REQUEST })
    class Admission implements CanActivate {
      constructor(private readonly envelope: Envelope) {}
      canActivate(): boolean {
        seen.push(`guard ${this.envelope.key}`);
        return true;
      }
    }
    @EventListener(OrderPlaced)
    class Receipts implements EventListener<OrderPlaced> {
      on({ id }: OrderPlaced): void {
        seen.push(`called ${id}`);
      }
    }
    const providers = [Receipts, { provide: APP_GUARD, useClass: Admission }];
    const app = await TestApp.start({ providers }, { globalEnhancers: true });
    await placed(app, 'a');
    await app.idle();
    await placed(app, 'b');
    await app.idle();
    expect(seen).toEqual(['guard a', 'called a', 'guard b', 'called b']);
  });
});

describe('what cannot be scoped', () => {
  it('is refused at start: a pipeline, a transient listener', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class PerRequest {}
    @EnvelopePipeline()
    class Sessions implements EnvelopePipeline {
      constructor(readonly request: PerRequest) {}
      handle(): Promise<void> {
        return Promise.resolve();
      }
    }
    @Injectable({ scope: Scope.TRANSIENT })
    @EventListener(OrderPlaced)
    class Receipts implements EventListener {
      on(): void {
        throw new Error('it was called');
      }
    }
    const app = await TestApp.create({ providers: [Receipts, Sessions, PerRequest] });
    const error = await refusal(app.module.init());
    expect(error.code).toBe('EVT_START_REFUSED');
    expect(error.message).toMatch(/EVT_LISTENER_SCOPE Sessions is not a singleton/);
    expect(error.message).toMatch(/EVT_LISTENER_SCOPE Receipts is transient/);
  });
});
