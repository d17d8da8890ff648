import { Event, EventingModule } from 'nestjs-eventing';
import { amqp } from 'nestjs-eventing/amqp';
import { rabbitmq } from 'nestjs-eventing/rabbitmq';
import { stomp } from 'nestjs-eventing/stomp';
import type { Transport, WorkerSetup } from './worker.setup.js';

/** The so-manieth event of its key. */
export interface Numbered {
  readonly key: string;
  readonly number: number;
}

/** Each test has a channel of its own, so a class of its own. */
export function numberedEvent(channel: string): new () => Numbered {
  @Event({ name: `numbered.${channel}`, channel, key: 'key' })
  class NumberedEvent implements Numbered {
    key = '';
    number = 0;
  }
  return NumberedEvent;
}

/** As a user would write it. */
export function eventingOf({ service, transport }: Pick<WorkerSetup, 'service' | 'transport'>) {
  return EventingModule.forRoot({ service, provider: providerOf(transport) });
}

function providerOf(transport: Transport) {
  if (transport.kind === 'amqp') return amqp(transport.options);
  return transport.kind === 'stomp' ? stomp(transport.options) : rabbitmq(transport.options);
}
