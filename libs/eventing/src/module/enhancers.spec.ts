import {
  type ArgumentsHost,
  BadRequestException,
  type CallHandler,
  type CanActivate,
  Catch,
  createParamDecorator,
  type ExceptionFilter,
  type ExecutionContext,
  Injectable,
  type NestInterceptor,
  type PipeTransform,
  UseFilters,
  UseGuards,
  UseInterceptors,
  UsePipes,
  ValidationPipe,
} from '@nestjs/common';
import { APP_GUARD, APP_INTERCEPTOR, Reflector } from '@nestjs/core';
import { Type } from 'class-transformer';
import { Envelope, Event, EventBody, EventEnvelope, EventHeader, EventListener } from 'nestjs-eventing';
import { map, type Observable, of, tap, throwError } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { TestApp } from '../test.app.fixture.js';

@Event({ name: 'orders.placed', key: 'id' })
class OrderPlaced {
  id!: string;
  total?: number;
}

/** Something to inject, so that a guard without its dependencies would be seen. */
@Injectable()
class Tenants {
  readonly known = ['acme'];
}

@Injectable()
class TenantGuard implements CanActivate {
  constructor(private readonly tenants: Tenants) {}
  canActivate(context: ExecutionContext): boolean {
    const envelope = context.switchToRpc().getContext<Envelope>();
    return this.tenants.known.includes(envelope.headers.get('tenant') ?? '');
  }
}

const placed = (app: TestApp, id: string, headers: Record<string, string> = {}): Promise<unknown> =>
  app.events.sendEvent(OrderPlaced, { id }, { headers });

describe('guards on a listener', () => {
  it('decide who is called, by what they inject; one that denies makes a dead letter at once', async () => {
    const got: string[] = [];
    @UseGuards(TenantGuard)
    @EventListener(OrderPlaced)
    class Receipts implements EventListener<OrderPlaced> {
      on({ id }: OrderPlaced): void {
        got.push(id);
      }
    }
    const app = await TestApp.start({ providers: [Receipts, Tenants] });
    await placed(app, 'a', { tenant: 'acme' });
    await placed(app, 'b', { tenant: 'other' });
    await app.idle();
    expect(got).toEqual(['a']);
    const letter = await app.letter();
    expect(letter).toMatchObject({ reason: 'rejected', attempts: 1, error: { code: 'EVT_REJECTED' } });
    expect(letter.error.message).toBe('TenantGuard denies Receipts this event.');
  });

  it('see the event, the envelope, the class and the method, and that the context is an event', async () => {
    const seen: unknown[] = [];
    class Look implements CanActivate {
      canActivate(context: ExecutionContext): boolean {
        const [event, envelope] = context.getArgs<[OrderPlaced, Envelope<OrderPlaced>]>();
        seen.push(context.getType<string>(), context.getClass().name, context.getHandler().name);
        seen.push(event instanceof OrderPlaced, envelope.body === event, context.switchToRpc().getData() === event);
        return true;
      }
    }
    class Orders {
      @UseGuards(new Look())
      @EventListener(OrderPlaced)
      onPlaced(): void {
        seen.push('called');
      }
    }
    const app = await TestApp.start({ providers: [Orders] });
    await placed(app, 'a');
    await app.idle();
    expect(seen).toEqual(['event', 'Orders', 'onPlaced', true, true, true, 'called']);
  });

  it.each([
    ['a promise', () => Promise.resolve(true), true],
    ['an Observable', () => of(true), true],
    ['a promise of false', () => Promise.resolve(false), false],
    ['an Observable of false', () => of(false), false],
  ])('may answer by %s', async (_, answer, admits) => {
    const got: string[] = [];
    const order: string[] = [];
    const guard = (name: string, canActivate: CanActivate['canActivate']): CanActivate => ({
      canActivate: (context) => {
        order.push(name);
        return canActivate(context);
      },
    });
    @UseGuards(guard('first', () => true), guard('second', answer), guard('third', () => true))
    @EventListener(OrderPlaced)
    class Receipts implements EventListener<OrderPlaced> {
      on({ id }: OrderPlaced): void {
        got.push(id);
      }
    }
    const app = await TestApp.start({ providers: [Receipts] });
    await placed(app, 'a');
    await app.idle();
    expect(got).toEqual(admits ? ['a'] : []);
    expect(order).toEqual(admits ? ['first', 'second', 'third'] : ['first', 'second']);
    expect(await app.letters()).toHaveLength(admits ? 0 : 1);
  });

  it('that throw are retried as the listener is; that return nothing are told so', async () => {
    class Broken implements CanActivate {
      canActivate(): boolean {
        return undefined as unknown as boolean;
      }
    }
    let tries = 0;
    class Failing implements CanActivate {
      canActivate(): boolean {
        tries++;
        if (tries < 3) throw new Error('the directory is away');
        return true;
      }
    }
    const got: string[] = [];
    @UseGuards(Broken)
    @EventListener(OrderPlaced, { retry: { attempts: 2 } })
    class First implements EventListener {
      on(): void {
        got.push('first');
      }
    }
    @UseGuards(Failing)
    @EventListener(OrderPlaced)
    class Second implements EventListener {
      on(): void {
        got.push('second');
      }
    }
    const app = await TestApp.start({ providers: [First, Second] });
    await placed(app, 'a');
    await app.clock.advance(10_000);
    expect([got, tries]).toEqual([['second'], 3]);
    expect(await app.letter()).toMatchObject({
      listener: 'First',
      attempts: 2,
      error: {
        code: 'EVT_ENHANCER_FAULT',
        message: 'Broken, bound to First, returned nothing: return true or false.',
      },
    });
  });
});

describe('interceptors on a listener', () => {
  it('run around it, class before method, and inside the same context', async () => {
    const order: string[] = [];
    const named = (name: string) =>
      class implements NestInterceptor {
        intercept(_: ExecutionContext, next: CallHandler): Observable<unknown> {
          order.push(`${name} in`);
          return next.handle().pipe(
            tap(() => order.push(`${name} out`)),
            map((value) => `${name}(${String(value)})`),
          );
        }
      };
    @UseInterceptors(named('class'))
    class Orders {
      @UseInterceptors(named('method'))
      @EventListener(OrderPlaced)
      async onPlaced(_: OrderPlaced, envelope: Envelope): Promise<string> {
        await Promise.resolve();
        order.push(`cause ${String(app.context.current()?.causationId === envelope.id)}`);
        return 'done';
      }
    }
    const app = await TestApp.start({ providers: [Orders] });
    await placed(app, 'a');
    await app.idle();
    expect(order).toEqual(['class in', 'method in', 'cause true', 'method out', 'class out']);
  });

  it('may answer in place of the listener, or fail for it', async () => {
    const got: string[] = [];
    class Known implements NestInterceptor {
      intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
        const { id } = context.getArgByIndex<OrderPlaced>(0);
        if (id === 'known') return of('seen already');
        return id === 'bad' ? throwError(() => new Error('no')) : next.handle();
      }
    }
    @UseInterceptors(Known)
    @EventListener(OrderPlaced, { retry: { attempts: 1 } })
    class Receipts implements EventListener<OrderPlaced> {
      on({ id }: OrderPlaced): void {
        got.push(id);
      }
    }
    const app = await TestApp.start({ providers: [Receipts] });
    for (const id of ['new', 'known', 'bad']) await placed(app, id);
    await app.idle();
    expect(got).toEqual(['new']);
    expect(await app.letter()).toMatchObject({ message: { key: 'bad' }, error: { message: 'no' } });
  });

  it('that return nothing are told so', async () => {
    class Broken implements NestInterceptor {
      intercept(): Observable<unknown> {
        return undefined as unknown as Observable<unknown>;
      }
    }
    @UseInterceptors(Broken)
    @EventListener(OrderPlaced, { retry: { attempts: 1 } })
    class Receipts implements EventListener {
      on(): void {
        throw new Error('it was called');
      }
    }
    const app = await TestApp.start({ providers: [Receipts] });
    await placed(app, 'a');
    await app.idle();
    expect((await app.letter()).error).toMatchObject({
      code: 'EVT_ENHANCER_FAULT',
      message: 'Broken, bound to Receipts, returned no Observable: return next.handle(), or of(…) in its place.',
    });
  });
});

describe('pipes on a listener', () => {
  class Doubling implements PipeTransform<OrderPlaced, OrderPlaced> {
    transform(event: OrderPlaced): OrderPlaced {
      return Object.assign(new OrderPlaced(), event, { total: (event.total ?? 0) * 2 });
    }
  }

  it('run on the event, and never on the envelope', async () => {
    const got: unknown[] = [];
    const about: unknown[] = [];
    class Noting implements PipeTransform {
      transform(value: unknown, { type, metatype }: { type: string; metatype?: unknown }): unknown {
        about.push(type, metatype);
        return value;
      }
    }
    class Orders {
      @UsePipes(Doubling, new Noting())
      @EventListener(OrderPlaced)
      onPlaced(event: OrderPlaced, envelope: Envelope): void {
        got.push(event.total, envelope instanceof Envelope);
      }
    }
    const app = await TestApp.start({ providers: [Orders] });
    await app.events.sendEvent(OrderPlaced, { id: 'a', total: 21 });
    await app.idle();
    expect(got).toEqual([42, true]);
    expect(about).toEqual(['body', OrderPlaced]);
  });

  it('may stand at a parameter, with what they inject', async () => {
    @Injectable()
    class TenantPipe implements PipeTransform<string | undefined, string> {
      constructor(private readonly tenants: Tenants) {}
      transform(value: string | undefined): string {
        return `${value ?? 'nobody'} of ${this.tenants.known.join()}`;
      }
    }
    const got: unknown[] = [];
    class Orders {
      @EventListener(OrderPlaced)
      onPlaced(
        @EventHeader('Tenant', TenantPipe) tenant: string,
        @EventEnvelope() envelope: Envelope,
        @EventBody(Doubling) { total }: OrderPlaced,
      ): void {
        got.push(tenant, envelope.name, total);
      }
    }
    const app = await TestApp.start({ providers: [Orders, Tenants] });
    await app.events.sendEvent(OrderPlaced, { id: 'a', total: 1 }, { headers: { tenant: 'acme' } });
    await app.idle();
    expect(got).toEqual(['acme of acme', 'orders.placed', 2]);
  });

  it('of Nest work: a ValidationPipe, and its errors', async () => {
    class Strict {
      @Type(() => Number)
      total!: number;
    }
    @Event({ name: 'orders.priced' })
    class OrderPriced extends Strict {}
    @EventListener(OrderPriced, { retry: { attempts: 1 } })
    class Prices implements EventListener<OrderPriced> {
      @UsePipes(new ValidationPipe({ forbidUnknownValues: true }))
      on(_event: OrderPriced): void {
        throw new Error('it was called');
      }
    }
    const app = await TestApp.start({ providers: [Prices] });
    await app.events.sendEvent(OrderPriced, { total: 1 });
    await app.idle();
    expect((await app.letter()).error).toMatchObject({ name: BadRequestException.name });
  });

  it('that return nothing are told so', async () => {
    class Broken implements PipeTransform {
      transform(): unknown {
        return undefined;
      }
    }
    @EventListener(OrderPlaced, { retry: { attempts: 1 } })
    class Receipts implements EventListener {
      @UsePipes(Broken)
      on(): void {
        throw new Error('it was called');
      }
    }
    const app = await TestApp.start({ providers: [Receipts] });
    await placed(app, 'a');
    await app.idle();
    expect((await app.letter()).error).toMatchObject({
      code: 'EVT_ENHANCER_FAULT',
      message: 'Broken, bound to Receipts, returned nothing: return the event, or throw.',
    });
  });
});

describe('parameter decorators', () => {
  it('of createParamDecorator see the context of the event', async () => {
    const Tenant = createParamDecorator((prefix: string, context: ExecutionContext) => {
      const { headers } = context.getArgByIndex<Envelope>(1);
      return Promise.resolve(`${prefix}${headers.get('tenant')}`);
    });
    const got: unknown[] = [];
    class Orders {
      @EventListener(OrderPlaced)
      onPlaced(@Tenant('tenant ') tenant: string, @EventBody() event: OrderPlaced): void {
        got.push(tenant, event.id);
      }
    }
    const app = await TestApp.start({ providers: [Orders] });
    await placed(app, 'a', { tenant: 'acme' });
    await app.idle();
    expect(got).toEqual(['tenant acme', 'a']);
  });
});

describe('exception filters on a listener', () => {
  class Declined extends Error {}

  const declining = (filter: new () => ExceptionFilter): new () => EventListener => {
    @UseFilters(filter)
    @EventListener(OrderPlaced, { retry: { attempts: 1 } })
    class Payments implements EventListener<OrderPlaced> {
      on({ id }: OrderPlaced): void {
        throw id === 'declined' ? new Declined('no money') : new Error('no line');
      }
    }
    return Payments;
  };

  it('deal with their own errors: what they return means done', async () => {
    const caught: unknown[] = [];
    @Catch(Declined)
    class DeclinedFilter implements ExceptionFilter<Declined> {
      catch(error: Declined, host: ArgumentsHost): string {
        caught.push(error.message, host.getType<string>(), host.getArgByIndex<OrderPlaced>(0).id);
        return 'done';
      }
    }
    const app = await TestApp.start({ providers: [declining(DeclinedFilter)] });
    await placed(app, 'declined');
    await placed(app, 'other');
    await app.idle();
    expect(caught).toEqual(['no money', 'event', 'declined']);
    expect(await app.letter()).toMatchObject({ message: { key: 'other' }, error: { message: 'no line' } });
  });

  it.each([
    ['nothing', () => undefined],
    ['a promise of nothing', () => Promise.resolve()],
  ])('that return %s have dealt with nothing: no error is swallowed by accident', async (_, answer) => {
    @Catch()
    class Logging implements ExceptionFilter {
      catch(): unknown {
        return answer();
      }
    }
    const app = await TestApp.start({ providers: [declining(Logging)] });
    await placed(app, 'declined');
    await app.idle();
    expect(await app.letter()).toMatchObject({ error: { message: 'no money' } });
  });

  it('may throw another error, also by an Observable', async () => {
    @Catch()
    class Translating implements ExceptionFilter {
      catch(error: Error): Observable<never> {
        return throwError(() => new TypeError(`translated: ${error.message}`));
      }
    }
    const app = await TestApp.start({ providers: [declining(Translating)] });
    await placed(app, 'declined');
    await app.idle();
    expect((await app.letter()).error).toMatchObject({ name: 'TypeError', message: 'translated: no money' });
  });
});

describe('global enhancers', () => {
  const seen: string[] = [];
  @Injectable()
  class HttpGuard implements CanActivate {
    constructor(private readonly reflector: Reflector) {}
    canActivate(context: ExecutionContext): boolean {
      seen.push(`guard ${context.getType<string>()} ${typeof this.reflector}`);
      return context.switchToHttp().getRequest<{ id?: string }>().id !== 'denied';
    }
  }
  @Injectable()
  class Timing implements NestInterceptor {
    intercept(_: ExecutionContext, next: CallHandler): Observable<unknown> {
      seen.push('interceptor');
      return next.handle();
    }
  }
  @EventListener(OrderPlaced)
  class Receipts implements EventListener {
    on(): void {
      seen.push('called');
    }
  }
  const parts = {
    providers: [Receipts, { provide: APP_GUARD, useClass: HttpGuard }, { provide: APP_INTERCEPTOR, useClass: Timing }],
  };

  it('do not run on listeners: most are written for HTTP', async () => {
    seen.length = 0;
    const app = await TestApp.start(parts);
    await placed(app, 'denied');
    await app.idle();
    expect(seen).toEqual(['called']);
  });

  it('run on them where the module is told so', async () => {
    seen.length = 0;
    const app = await TestApp.start(parts, { globalEnhancers: true });
    await placed(app, 'a');
    await placed(app, 'denied');
    await app.idle();
    expect(seen).toEqual(['guard event object', 'interceptor', 'called', 'guard event object']);
    expect(await app.letter()).toMatchObject({ message: { key: 'denied' }, reason: 'rejected' });
  });
});
