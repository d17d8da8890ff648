import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { CqrsModule, EventBus, EventsHandler, type IEventHandler } from '@nestjs/cqrs';
import { EventEmitter2, EventEmitterModule, OnEvent } from '@nestjs/event-emitter';
import { sample } from './measure.js';
import { orderNumber, OrderPlaced } from './order.event.js';
import type { Subject } from './subject.js';
import { Tally } from './tally.js';

const EVENTS = 50_000;
const OPEN = 100;

const handled = new Tally();

@EventsHandler(OrderPlaced)
class CqrsHandler implements IEventHandler<OrderPlaced> {
  async handle({ total }: OrderPlaced): Promise<void> {
    handled.add(total);
  }
}

@Injectable()
class EmitterHandler {
  @OnEvent('orders.placed')
  async on({ total }: OrderPlaced): Promise<void> {
    handled.add(total);
  }
}

/** `@nestjs/cqrs`: the object itself is handed over; nothing is serialized, ordered, bounded or retried. */
export function cqrs(): Subject {
  @Module({ imports: [CqrsModule.forRoot()], providers: [CqrsHandler] })
  class AppModule {}
  return subject(AppModule, async (app) => {
    const bus = app.get(EventBus);
    return async (event) => void bus.publish(event);
  });
}

/** `@nestjs/event-emitter`: the same. */
export function eventEmitter(): Subject {
  @Module({ imports: [EventEmitterModule.forRoot()], providers: [EmitterHandler] })
  class AppModule {}
  return subject(AppModule, async (app) => {
    const emitter = app.get(EventEmitter2);
    return (event) => emitter.emitAsync('orders.placed', event);
  });
}

type Application = Awaited<ReturnType<typeof NestFactory.createApplicationContext>>;
type Send = (event: OrderPlaced) => Promise<unknown>;

function subject(module: new () => object, sender: (app: Application) => Promise<Send>): Subject {
  let app: Application | undefined;
  let send: Send = () => Promise.reject(new Error('not prepared'));
  return {
    async prepare() {
      app = await NestFactory.createApplicationContext(module, { logger: false });
      await app.init();
      send = await sender(app);
    },
    round: () =>
      sample(EVENTS, async () => {
        handled.start();
        for (let first = 0; first < EVENTS; first += OPEN) {
          const sends: Promise<unknown>[] = [];
          for (let index = first; index < first + OPEN; index++) sends.push(send(orderNumber(index)));
          await Promise.all(sends);
          await handled.reached(first + OPEN);
        }
        handled.check(EVENTS);
      }),
    close: async () => app?.close(),
  };
}
