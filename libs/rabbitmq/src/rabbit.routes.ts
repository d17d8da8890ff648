import { partitionOf, partitioned } from './rabbit.names.js';
import type { ResolvedRabbitOptions } from './rabbit.options.js';

/** Where a channel's events go. */
export interface ChannelRoute {
  readonly channel: string;
  readonly exchange: string;
  /** One for each partition. */
  readonly routingKeys: readonly string[];
  /** What a queue that takes the whole channel is bound with. */
  readonly binding: string;
  /** Other software made it. */
  readonly foreign: boolean;
  /** The queue that is read instead of one for each listener. */
  readonly queue: string | undefined;
}

/** Knows each channel's exchange and routing keys. */
export class RabbitRoutes {
  private readonly known = new Map<string, ChannelRoute>();

  constructor(private readonly options: Pick<ResolvedRabbitOptions, 'channels' | 'exchangePrefix' | 'partitions'>) {}

  of(channel: string): ChannelRoute {
    let route = this.known.get(channel);
    if (route === undefined) this.known.set(channel, (route = this.find(channel)));
    return route;
  }

  routingKey({ routingKeys }: ChannelRoute, key: string | undefined): string {
    if (routingKeys.length === 1) return routingKeys[0] as string;
    const partition =
      key === undefined ? Math.floor(Math.random() * routingKeys.length) : partitionOf(key, routingKeys.length);
    return routingKeys[partition] as string;
  }

  private find(channel: string): ChannelRoute {
    const { channels, exchangePrefix, partitions } = this.options;
    const given = Object.hasOwn(channels, channel) ? channels[channel] : undefined;
    if (given !== undefined) {
      const { exchange = channel, routingKey, queue } = given;
      const binding = given.binding ?? routingKey ?? '#';
      return { channel, exchange, routingKeys: [routingKey ?? channel], binding, foreign: true, queue };
    }
    const routingKeys =
      partitions === 1 ? [channel] : Array.from({ length: partitions }, (_, index) => partitioned(channel, index));
    // All of it: whatever the number of partitions of whoever sends, nothing passes by.
    return { channel, exchange: exchangePrefix + channel, routingKeys, binding: '#', foreign: false, queue: undefined };
  }
}
