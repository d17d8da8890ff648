import type { AmqpOptions } from 'nestjs-eventing/amqp';
import type { RabbitOptions } from 'nestjs-eventing/rabbitmq';
import type { StompOptions } from 'nestjs-eventing/stomp';

export type Transport =
  | { readonly kind: 'amqp'; readonly options: AmqpOptions }
  | { readonly kind: 'rabbitmq'; readonly options: RabbitOptions }
  | { readonly kind: 'stomp'; readonly options: StompOptions };

/** What a test tells a worker, as the one argument of its command line. */
export interface WorkerSetup {
  readonly transport: Transport;
  readonly service: string;
  readonly channel: string;
  /** The file for what happens. */
  readonly history: string;
}

/** A line of the history: `at` is in nanoseconds of the machine's monotonic clock, which all its processes share. */
export type HistoryLine =
  | { readonly kind: 'ready'; readonly at: string }
  | { readonly kind: 'handled'; readonly at: string; readonly key: string; readonly number: number };
