import type { Channel } from 'amqplib';
import { EventingError, type ProviderContext, type Subscription } from 'nestjs-eventing';
import { DELAYS, delayQueueOf } from './retry.delays.js';
import { hopeless, isMissing } from './rabbit.errors.js';
import type { RabbitLink } from './rabbit.link.js';
import { partitioned, queueOf, serviceNames, targetOf } from './rabbit.names.js';
import type { ResolvedRabbitOptions } from './rabbit.options.js';
import type { ChannelRoute, RabbitRoutes } from './rabbit.routes.js';

/** One queue that a subscription reads. */
export interface QueuePlan {
  readonly queue: string;
  readonly channel: string;
  /** It outlives its processes. */
  readonly durable: boolean;
  /** Exists once for each process. */
  readonly own: boolean;
  /** One process at a time reads it. */
  readonly ordered: boolean;
  /** Somebody else's: read, and otherwise left as it is. */
  readonly foreign: boolean;
  readonly route: ChannelRoute;
  readonly binding: string;
  /** By which it is sent to alone. */
  readonly targets: readonly string[];
}

/**
 * Since RabbitMQ 4 a quorum queue drops a message after 20 returns, unless it is told otherwise. The kernel decides when a message
 * has failed for good, so no number that is ever reached; 3.x takes no word for "never".
 */
const NO_LIMIT = 1_000_000_000;

/** Exchanges and queues: makes what is missing, or under `check` tells what is. */
export class RabbitTopology {
  private readonly names;
  private readonly exchanges = new Set<string>();
  /** Made by other software. */
  private readonly foreign = new Set<string>();

  constructor(
    private readonly options: ResolvedRabbitOptions,
    private readonly routes: RabbitRoutes,
    private readonly context: Pick<ProviderContext, 'service' | 'instance' | 'topology'>,
  ) {
    this.names = serviceNames(context.service);
  }

  knows(route: ChannelRoute): boolean {
    return route.exchange === '' || this.exchanges.has(route.exchange);
  }

  /** What was there once: the broker may not be the one it was. */
  async ensureKnown(link: RabbitLink): Promise<void> {
    if (this.exchanges.size === 0) return;
    await link.withChannel(async (channel) => {
      for (const exchange of this.exchanges) await this.exchange(channel, exchange);
    });
  }

  /** An exchange that something was sent to, and that is not there. */
  async restore(link: RabbitLink, exchange: string): Promise<void> {
    try {
      await link.withChannel((channel) =>
        exchange === this.names.retry && this.context.topology === 'create'
          ? this.ensureRetry(channel)
          : this.exchange(channel, exchange),
      );
    } catch (error) {
      throw hopeless(error) ?? error;
    }
  }

  /** Exchanges of channels. Rejects with one error for all that are missing. */
  async ensureChannels(link: RabbitLink, channels: readonly string[]): Promise<void> {
    const missing: EventingError[] = [];
    for (const route of channels.map((channel) => this.routes.of(channel))) {
      if (this.knows(route)) continue;
      try {
        await link.withChannel((channel) => this.exchange(channel, route.exchange, route));
      } catch (error) {
        if (!isMissing(error)) throw hopeless(error) ?? error;
        const made = route.foreign ? 'is made by other software (`channels` of rabbitmq({ … }))' : 'is missing';
        const text = `The exchange ${route.exchange} of the channel ${route.channel} ${made}: declare it (type topic, durable)${route.foreign ? '' : ", or start with topology: 'create'"}.`;
        missing.push(new EventingError('EVT_TOPOLOGY', text, { cause: error }));
      }
    }
    const [first] = missing;
    if (first === undefined) return;
    if (missing.length === 1) throw first;
    throw new EventingError('EVT_TOPOLOGY', missing.map(({ message }) => message).join(' '), { cause: first });
  }

  /** Where several partitions are configured, all services must agree: a queue's arguments keep the number. */
  async ensurePartitions(link: RabbitLink): Promise<void> {
    const { partitions, exchangePrefix } = this.options;
    const queue = `${exchangePrefix}eventing.partitions`;
    const mismatch = (cause: unknown): EventingError =>
      new EventingError(
        'EVT_TOPOLOGY',
        `Another service of this broker uses another number of \`partitions\` than ${partitions}: give all services the same (the queue ${queue} keeps it in \`x-max-length\`; delete that after a change, when all queues are empty).`,
        { cause },
      );
    if (partitions === 1) {
      const exists = await link
        .withChannel((channel) => channel.checkQueue(queue))
        .then(() => true, (error: unknown) => (isMissing(error) ? false : Promise.reject(error))); // prettier-ignore
      if (exists) throw mismatch(undefined);
      return;
    }
    if (this.context.topology === 'check') return;
    try {
      const args = { 'x-queue-type': 'classic', 'x-max-length': partitions };
      await link.withChannel((channel) => channel.assertQueue(queue, { durable: true, arguments: args }));
    } catch (error) {
      if (error instanceof Error && error.message.includes('inequivalent arg')) throw mismatch(error);
      throw error;
    }
  }

  plansOf(subscription: Subscription): QueuePlan[] {
    const { service, instance } = this.context;
    const { name, perProcess, ordered } = subscription;
    const base = { durable: subscription.durable && !perProcess, own: perProcess, ordered: ordered && !perProcess };
    return subscription.channels.flatMap((channel): QueuePlan[] => {
      const route = this.routes.of(channel);
      const plan = (partition: number | undefined, binding: string, targets: string[]): QueuePlan => {
        const queue = queueOf(channel, service, subscription, instance, partition);
        return { ...base, queue, channel, foreign: false, route, binding, targets };
      };
      if (route.queue !== undefined)
        return [
          {
            queue: route.queue,
            channel,
            durable: true,
            own: false,
            ordered: false,
            foreign: true,
            route,
            binding: '',
            // Bound to what is ours, so that what is deferred comes back.
            targets: [this.target(route, service, name, 0)],
          },
        ];
      const { routingKeys } = route;
      if (!base.ordered || routingKeys.length === 1) {
        // A sender tells partitions apart, whoever listens.
        const targets = routingKeys.map((_, index) => this.target(route, service, name, index));
        return [plan(undefined, route.binding, targets)];
      }
      return routingKeys.map((_, index) => plan(index, partitioned(channel, index), [this.target(route, service, name, index)])); // prettier-ignore
    });
  }

  /** The name by which a subscription is sent to alone. */
  target(route: ChannelRoute, service: string, name: string, partition: number): string {
    return targetOf(route.channel, service, name, route.routingKeys.length === 1 ? undefined : partition);
  }

  /** The queue, and the ways into it. */
  async ensureQueue(channel: Channel, plan: QueuePlan): Promise<void> {
    const { queue, own, durable, targets } = plan;
    const { retry, due } = this.names;
    const check = this.context.topology === 'check' && durable;
    if (plan.foreign || check) await channel.checkQueue(queue);
    if (check) return;
    if (!plan.foreign) {
      await channel.assertQueue(queue, { durable: true, arguments: this.argumentsOf(plan) });
      if (plan.route.exchange !== '') await channel.bindQueue(queue, plan.route.exchange, plan.binding);
    }
    if (this.context.topology === 'create') await this.ensureRetry(channel);
    for (const target of targets) {
      await channel.bindQueue(queue, retry, `now.${target}`);
      if (!own) await channel.bindQueue(queue, due, `*.${target}`);
    }
  }

  /** Under `check`, all that a durable subscription may need some day. */
  async checkService(link: RabbitLink): Promise<void> {
    const { retry, due, letters } = this.names;
    await link.withChannel(async (channel) => {
      for (const exchange of [retry, due, letters]) await channel.checkExchange(exchange);
      for (const queue of [letters, ...DELAYS.map((delay) => delayQueueOf(retry, delay))])
        await channel.checkQueue(queue);
    });
  }

  private async ensureRetry(channel: Channel): Promise<void> {
    const { retry, due, stranded } = this.names;
    await channel.assertExchange(retry, 'topic', { durable: true });
    await channel.assertExchange(due, 'topic', { durable: true, alternateExchange: stranded });
  }

  private argumentsOf({ durable, ordered }: QueuePlan): Record<string, string | number | boolean> {
    const single: Record<string, boolean> = ordered ? { 'x-single-active-consumer': true } : {};
    // A limit that an operator sets makes senders wait or fail; it must not make messages vanish.
    const common = { 'x-overflow': 'reject-publish', ...single };
    if (!durable) return { 'x-queue-type': 'classic', 'x-expires': this.options.expires, ...common };
    return { 'x-queue-type': 'quorum', 'x-delivery-limit': NO_LIMIT, ...common, ...this.options.queueArguments };
  }

  private async exchange(channel: Channel, exchange: string, route?: ChannelRoute): Promise<void> {
    if (exchange === '') return;
    if (route?.foreign === true) this.foreign.add(exchange);
    if (this.context.topology === 'check' || this.foreign.has(exchange)) await channel.checkExchange(exchange);
    else await channel.assertExchange(exchange, 'topic', { durable: true });
    this.exchanges.add(exchange);
  }
}
