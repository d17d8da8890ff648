import 'reflect-metadata';
import { type CallHandler, type CanActivate, Injectable, Module, type NestInterceptor, Scope, UseGuards, UseInterceptors } from '@nestjs/common'; // prettier-ignore
import { NestFactory } from '@nestjs/core';
import { IsInt, IsString } from 'class-validator';
import {
  EnvelopePipeline,
  Event,
  EventingModule,
  EventListener,
  EventManager,
  memory,
  type Next,
} from 'nestjs-eventing';
import { EventingTelemetryModule } from 'nestjs-eventing/opentelemetry';
import type { Observable } from 'rxjs';
import { sample } from './measure.js';
import { orderNumber, OrderPlaced } from './order.event.js';
import { quiet } from './quiet.logger.js';
import type { Subject } from './subject.js';
import { Tally } from './tally.js';

const EVENTS = 50_000;
const OPEN = 100;

const handled = new Tally();

@EnvelopePipeline()
class Passing implements EnvelopePipeline {
  handle(_envelope: unknown, _listener: unknown, next: Next): Promise<void> {
    return next();
  }
}
class Admitting implements CanActivate {
  canActivate(): boolean {
    return true;
  }
}
class Watching implements NestInterceptor {
  intercept(_context: unknown, next: CallHandler): Observable<unknown> {
    return next.handle();
  }
}
@Injectable({ scope: Scope.REQUEST })
class PerEvent {}

@Event({ name: 'orders.validated', channel: 'orders', key: 'orderId' })
class ValidatedOrder {
  @IsString() orderId!: string;
  @IsInt() total!: number;
}
@Event({ name: 'orders.plain', channel: 'orders', key: 'orderId' })
class PlainOrder {
  orderId!: string;
  total!: number;
}

@EventListener(OrderPlaced)
class Bare implements EventListener<OrderPlaced> {
  async on({ total }: OrderPlaced): Promise<void> {
    handled.add(total);
  }
}
@UseGuards(Admitting)
@EventListener(OrderPlaced)
class Guarded extends Bare {}
@UseInterceptors(Watching)
@EventListener(OrderPlaced)
class Intercepted extends Bare {}
@EventListener(OrderPlaced)
class Scoped extends Bare {
  constructor(readonly scoped: PerEvent) {
    super();
  }
}
@EventListener(ValidatedOrder)
class Validated implements EventListener<ValidatedOrder> {
  async on({ total }: ValidatedOrder): Promise<void> {
    handled.add(total);
  }
}
@EventListener(PlainOrder)
class Plain implements EventListener<PlainOrder> {
  async on({ total }: PlainOrder): Promise<void> {
    handled.add(total);
  }
}

const small = (type: new () => object) => (index: number) =>
  Object.assign(new type(), { orderId: `order-${index % 1000}`, total: index });

type Provider = new (...args: never[]) => object;

/** What an application is made of, by the name of the convenience that it has more than the bare one. */
const APPLICATIONS: Readonly<
  Record<string, { readonly providers: Provider[]; readonly imports?: Provider[]; make?: (index: number) => object }>
> = {
  nothing: { providers: [Bare] },
  pipeline: { providers: [Bare, Passing] },
  guard: { providers: [Guarded] },
  interceptor: { providers: [Intercepted] },
  scope: { providers: [Scoped, PerEvent] },
  tracing: { providers: [Bare], imports: [EventingTelemetryModule] },
  plain: { providers: [Plain], make: small(PlainOrder) },
  validation: { providers: [Validated], make: small(ValidatedOrder) },
};

/** The whole way in memory, in a Nest application with one convenience: `settings.with`. */
export function application(settings: Record<string, string>): Subject {
  const {
    providers,
    imports = [],
    make = orderNumber,
  } = APPLICATIONS[settings['with'] ?? 'nothing'] ?? { providers: [] };
  @Module({
    imports: [EventingModule.forRoot({ service: 'bench', provider: memory(), logger: quiet }), ...imports],
    providers,
  })
  class AppModule {}
  let events: EventManager | undefined;
  let close = async (): Promise<void> => undefined;
  return {
    async prepare() {
      const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
      events = app.get(EventManager);
      close = () => app.close();
    },
    round: () =>
      sample(EVENTS, async () => {
        handled.start();
        for (let first = 0; first < EVENTS; first += OPEN) {
          const sends: Promise<unknown>[] = [];
          for (let index = first; index < first + OPEN; index++)
            sends.push(events?.sendEvent(make(index)) ?? Promise.reject(new Error('not prepared')));
          await Promise.all(sends);
          await handled.reached(first + OPEN);
        }
        handled.check(EVENTS);
      }),
    close: () => close(),
  };
}
