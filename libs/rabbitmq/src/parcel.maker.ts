import type { OutgoingMessage, ProviderContext } from 'nestjs-eventing';
import { randomBytes } from 'node:crypto';
import { asBuffer } from './message.codec.js';
import type { Parcel } from './parcel.js';
import type { RabbitRoutes } from './rabbit.routes.js';
import type { RabbitTopology } from './rabbit.topology.js';
import type { RetryQueues } from './retry.queues.js';

/** Makes of what the kernel sends what AMQP sends: addresses it, and gives it a name of its own. */
export class ParcelMaker {
  private readonly sender = randomBytes(9).toString('base64url');
  private count = 0;
  private lastTime = -1;
  private prefix = '';

  constructor(
    private readonly routes: RabbitRoutes,
    private readonly topology: RabbitTopology,
    private readonly retry: RetryQueues,
    private readonly context: Pick<ProviderContext, 'service'>,
  ) {}

  make(message: OutgoingMessage): Parcel {
    const { channel, key, durable, to } = message;
    const route = this.routes.of(channel);
    const routingKey = this.routes.routingKey(route, key);
    const time = Math.max(0, Math.trunc(message.time));
    const sent = { id: message.id, key, headers: message.headers, time, ref: this.nameAt(time) };
    const body = asBuffer(message.body);
    if (to === undefined) {
      const { exchange } = route;
      return { exchange, routingKey, body, sent, persistent: durable, mandatory: exchange === '', channel };
    }
    const target = this.topology.target(route, this.context.service, to, route.routingKeys.indexOf(routingKey));
    return { ...this.retry.route(target), body, sent, persistent: durable, mandatory: true, channel };
  }

  /** Many are sent in one millisecond: its name is written once. */
  private nameAt(time: number): string {
    if (time !== this.lastTime) {
      this.lastTime = time;
      this.prefix = `${time.toString(36)}-${this.sender}-`;
    }
    return this.prefix + (++this.count).toString(36);
  }

  /** Channels whose exchange nobody has looked for yet. */
  unknown(messages: readonly OutgoingMessage[]): readonly string[] | undefined {
    let unknown: Set<string> | undefined;
    for (const { channel, to } of messages)
      if (to === undefined && !this.topology.knows(this.routes.of(channel))) (unknown ??= new Set()).add(channel);
    return unknown && [...unknown];
  }
}
