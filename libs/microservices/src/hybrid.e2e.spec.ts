import { Controller, Get, NotFoundException } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { DeadLetters, EventingModule, EventingRuntime, memory, RejectEvent } from 'nestjs-eventing';
import { lastValueFrom } from 'rxjs';
import { expect, it, onTestFinished } from 'vitest';
import { EventingClient, EventingExceptionFilter, EventingTransport } from './index.js';
import { World } from './microservices.fixture.js';

it('a hybrid application serves HTTP, events and requests, and one filter is right for all', async () => {
  const world = new World();
  const got: unknown[] = [];
  @Controller('orders')
  class Orders {
    constructor(private readonly client: EventingClient) {}

    @Get('one')
    async one(): Promise<unknown> {
      await lastValueFrom(this.client.emit('orders.asked-for', { orderId: 'one' }));
      return { sum: await lastValueFrom(this.client.send('sum', [1, 2])) };
    }
    @Get('none')
    none(): never {
      throw new NotFoundException('there is none');
    }
    @Get('broken')
    broken(): never {
      throw new Error('a secret');
    }
    @EventPattern('orders.asked-for')
    onAskedFor(@Payload() data: unknown): void {
      got.push(data);
      throw new RejectEvent('hopeless');
    }
    @MessagePattern('sum')
    sum(@Payload() numbers: number[]): number {
      return numbers.reduce((a, b) => a + b, 0);
    }
    @MessagePattern('secret')
    secret(): never {
      throw new Error('a secret');
    }
  }
  const module = await Test.createTestingModule({
    imports: [
      EventingModule.forRoot({ service: 'shop', logger: world.logger, provider: memory({ broker: world.broker }) }),
    ],
    controllers: [Orders],
    providers: [
      { provide: APP_FILTER, useClass: EventingExceptionFilter },
      {
        provide: EventingClient,
        inject: [EventingRuntime],
        useFactory: (runtime: EventingRuntime) => new EventingClient({ runtime }),
      },
    ],
  }).compile();
  const app = module.createNestApplication({ logger: false });
  onTestFinished(() => app.close());
  const strategy = new EventingTransport({ runtime: app.get(EventingRuntime) });
  app.connectMicroservice({ strategy }, { inheritAppConfig: true });
  await app.startAllMicroservices();
  await app.listen(0, '127.0.0.1');
  const url = await app.getUrl();
  const get = async (path: string): Promise<unknown> => (await fetch(`${url}/orders/${path}`)).json();

  expect(await get('one')).toEqual({ sum: 3 });
  expect(got).toEqual([{ orderId: 'one' }]);
  const { letters } = await app.get(DeadLetters).scan();
  expect(letters.map(({ reason, error }) => [reason, error.message])).toEqual([['rejected', 'hopeless']]);
  expect(await get('none')).toMatchObject({ statusCode: 404, message: 'there is none' });
  expect(await get('broken')).toEqual({ statusCode: 500, message: 'Internal server error' });
  await expect(lastValueFrom(app.get(EventingClient).send('secret', {}))).rejects.toEqual({
    status: 'error',
    message: 'Internal server error',
  });
});
