import type { ProviderContext, Subscription } from '../provider/event-provider.js';
import type { MemoryChannel } from './memory.channel.js';
import type { MemoryQueue, QueueIdentity } from './memory.queue.js';
import { readStart } from './start.position.js';

/** The queue of a subscription in each of its channels; made where it is missing. Makes none if it throws EVT_POSITION. */
export function openQueues(
  channels: readonly MemoryChannel[],
  subscription: Subscription,
  context: ProviderContext,
): MemoryQueue[] {
  const planned = channels.map((channel) => ({ channel, identity: identify(channel, subscription, context) }));
  const missing = planned.filter(({ channel, identity }) => channel.find(identity.name) === undefined);
  // A queue that is there has a position of its own, and `from` says nothing to it.
  const wanted = missing.length > 0 ? readStart(subscription.from, channels) : undefined;
  const ends = subscription.until === 'now';
  for (const { channel, identity } of missing)
    if (wanted !== undefined) channel.create(identity, wanted(channel), ends);
  return planned.map(({ channel, identity }) => channel.find(identity.name) as MemoryQueue);
}

function identify(channel: MemoryChannel, subscription: Subscription, context: ProviderContext): QueueIdentity {
  const { name, perProcess, durable } = subscription;
  const shared = `${channel.name}::${context.service}.${name}`;
  return {
    name: perProcess ? `${shared}-${context.instance}` : shared,
    channel: channel.name,
    service: context.service,
    subscription: name,
    durable: durable && !perProcess,
  };
}
