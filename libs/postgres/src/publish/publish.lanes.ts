import type { OutgoingMessage, PublishFailure } from 'nestjs-eventing';
import { partitionOf } from '../log/partition.of.js';
import type { PublishQueue } from './publish.queue.js';

interface Part {
  readonly messages: OutgoingMessage[];
  /** Where each stands in the call. */
  readonly indexes: number[];
}

/** Queues side by side: the server stores the messages of one while another's are on their way. Those of one key are in one queue. */
export class PublishLanes {
  private turn = 0;

  constructor(private readonly queues: readonly PublishQueue[]) {}

  /** Resolves when each message is stored or has failed. Never rejects. */
  async publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishFailure[]> {
    const parts = this.queues.map((): Part => ({ messages: [], indexes: [] }));
    this.turn = (this.turn + 1) % this.queues.length;
    for (const [index, message] of messages.entries()) {
      const lane = message.key === undefined ? this.turn : partitionOf(message.key, this.queues.length);
      parts[lane]?.messages.push(message);
      parts[lane]?.indexes.push(index);
    }
    const calls = this.queues.map(async (queue, lane) => {
      const part = parts[lane];
      if (part === undefined || part.messages.length === 0) return [];
      const failures = await queue.publish(part.messages);
      return failures.map((failure) => ({ ...failure, index: part.indexes[failure.index] ?? failure.index }));
    });
    return (await Promise.all(calls)).flat();
  }

  async close(patience: number): Promise<void> {
    await Promise.all(this.queues.map((queue) => queue.close(patience)));
  }

  /** The server is back: do not wait for the pause after the last failure. */
  hurry(): void {
    for (const queue of this.queues) queue.hurry();
  }
}
