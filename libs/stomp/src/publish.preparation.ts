import { backoff, EventingError, type OutgoingMessage, type PublishFailure } from 'nestjs-eventing';
import { qualified, sharedQueue } from './broker.names.js';
import type { OutgoingFrame } from './message.codec.js';
import { connectionError, hopeless } from './stomp.errors.js';
import type { ProviderParts } from './stomp.parts.js';

type Parts = Pick<ProviderParts, 'topology' | 'publisher' | 'context'>;

export function frameOf(message: OutgoingMessage, destination: string): OutgoingFrame {
  const { durable, time, key, headers, body } = message;
  const routing = message.to === undefined ? 'MULTICAST' : undefined;
  return { destination, routing, durable, time, key, headers, body };
}

/** For sends that need to ask the broker first: to channels that were not named at the start, and to one subscription alone. */
export class PublishPreparation {
  /** Calls are prepared one after the other, so that they reach the queue in order. */
  private last: Promise<unknown> = Promise.resolve();
  private readonly open = new Map<string, number>();

  constructor(private readonly parts: Parts) {}

  /** Whether nothing has to be prepared, and nothing that is being prepared would be overtaken. */
  isReady({ channel, to }: OutgoingMessage): boolean {
    return to === undefined && this.parts.topology.isKnown(channel) && !this.open.has(channel);
  }

  publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishFailure[]> {
    const { clock, publishTimeout } = this.parts.context;
    const deadline = clock.now() + publishTimeout;
    const channels = new Set(messages.map(({ channel }) => channel));
    for (const channel of channels) this.open.set(channel, (this.open.get(channel) ?? 0) + 1);
    const prepared = this.last.then(() => this.prepare(messages, deadline));
    // The call is in the queue as soon as `prepared` has resolved; that it is stored is awaited by the caller alone.
    this.last = prepared.then(() => {
      for (const channel of channels) {
        const left = (this.open.get(channel) ?? 1) - 1;
        if (left === 0) this.open.delete(channel);
        else this.open.set(channel, left);
      }
    });
    return prepared.then(({ outcome }) => outcome);
  }

  /** Wrapped, so that what is awaited is the preparation and not the broker's answer. Never rejects. */
  private async prepare(
    messages: readonly OutgoingMessage[],
    deadline: number,
  ): Promise<{ readonly outcome: Promise<readonly PublishFailure[]> }> {
    const failures: PublishFailure[] = [];
    const frames: OutgoingFrame[] = [];
    /** Of each frame, the message that it is of. */
    const indices: number[] = [];
    const destinations = new Map<string, readonly string[] | EventingError>();
    for (const [index, message] of messages.entries()) {
      const { channel, to } = message;
      const wanted = JSON.stringify([channel, to]);
      const found = destinations.get(wanted) ?? (await this.destinationsOf(message, deadline));
      destinations.set(wanted, found);
      if (found instanceof EventingError) failures.push({ index, error: found, indeterminate: false });
      else
        for (const destination of found) {
          frames.push(frameOf(message, destination));
          indices.push(index);
        }
    }
    return {
      outcome: this.parts.publisher.publish(frames, deadline).then((more) => [...failures, ...mapped(more, indices)]),
    };
  }

  private async destinationsOf(message: OutgoingMessage, deadline: number): Promise<readonly string[] | EventingError> {
    const { clock } = this.parts.context;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.lookUp(message);
      } catch (error) {
        const final = hopeless(error);
        if (final !== undefined) return final;
        if (this.parts.publisher.isClosed)
          return new EventingError('EVT_NOT_RUNNING', 'The STOMP provider is stopped.');
        const wait = backoff(attempt, 50, 1_000);
        if (clock.now() + wait >= deadline)
          return new EventingError('EVT_PUBLISH_TIMEOUT', `${connectionError(error).message} (\`publishTimeout\`)`, {
            cause: error,
          });
        await new Promise<void>((resolve) => clock.setTimeout(resolve, wait, true));
      }
    }
  }

  private async lookUp({ channel, to }: OutgoingMessage): Promise<readonly string[]> {
    const { topology, context } = this.parts;
    await topology.address(channel);
    if (to === undefined) return [channel];
    const shared = sharedQueue({ channel, service: context.service, subscription: to });
    const queues = (await topology.queuesOf(channel)).filter(
      (name) => name === shared || name.startsWith(`${shared}:`),
    );
    if (queues.length === 0)
      throw new EventingError(
        'EVT_PUBLISH_FAILED',
        `There is no queue ${shared}: no listener ${to} of ${context.service} was ever started on ${channel}. Start it, and send again.`,
      );
    return queues.map((queue) => qualified(channel, queue));
  }
}

/** A message that goes to several queues has failed if it failed for one of them. */
function mapped(failures: readonly PublishFailure[], indices: readonly number[]): PublishFailure[] {
  const byMessage = new Map<number, PublishFailure>();
  for (const failure of failures) {
    const index = indices[failure.index] as number;
    byMessage.set(index, { ...failure, index });
  }
  return [...byMessage.values()];
}
