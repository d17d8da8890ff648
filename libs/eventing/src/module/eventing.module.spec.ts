import { Test } from '@nestjs/testing';
import { expect, it } from 'vitest';
import {
  Envelope,
  EnvelopePipeline,
  Event,
  EventListener,
  EventManager,
  EventingModule,
  type EventDescriptor,
  type Next,
} from 'nestjs-eventing';

@Event({ name: 'orders.placed', channel: 'orders', key: 'orderId' })
class OrderPlaced {
  orderId!: string;
  total!: number;
}

it('carries an event and its session from sender to listener', async () => {
  const seen: unknown[] = [];
  let done!: () => void;
  const handled = new Promise<void>((r) => (done = r));

  @EventListener(OrderPlaced)
  class SendReceipt implements EventListener<OrderPlaced> {
    on(event: OrderPlaced, envelope: Envelope<OrderPlaced>) {
      seen.push(event, envelope.headers.get('session'), envelope.attempt);
      done();
    }
  }
  @EnvelopePipeline()
  class Session implements EnvelopePipeline {
    send(envelope: Envelope, _event: EventDescriptor, next: Next) {
      envelope.headers.set('session', 's1');
      return next();
    }
  }
  const module = await Test.createTestingModule({
    imports: [EventingModule.forRoot({ service: 'shop' })],
    providers: [SendReceipt, Session],
  }).compile();
  const app = module.createNestApplication();
  await app.init();
  await app.get(EventManager).sendEvent(OrderPlaced, { orderId: '1', total: 2 });
  await handled;
  expect(seen).toEqual([Object.assign(new OrderPlaced(), { orderId: '1', total: 2 }), 's1', 1]);
  await app.close();
});
