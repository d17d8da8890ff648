import { EventingError } from '../errors/eventing.error.js';
import type { OutgoingMessage, PublishFailure } from '../provider/event-provider.js';
import type { MemoryChannel } from './memory.channel.js';
import type { MemoryFaults } from './memory.faults.js';

/** What taking messages in needs to know of the broker. */
export interface Intake {
  readonly now: number;
  readonly largestMessage: number;
  readonly faults: MemoryFaults;
  channel(name: string): MemoryChannel;
}

const TAKEN: readonly PublishFailure[] = [];

/** Stores a batch, message by message: each in all of its queues or in none. Returns those that were not stored. */
export function storeMessages(
  messages: readonly OutgoingMessage[],
  service: string,
  intake: Intake,
): readonly PublishFailure[] {
  let failures: PublishFailure[] | undefined;
  let channel: MemoryChannel | undefined;
  let index = -1;
  for (const message of messages) {
    index++;
    if (channel?.name !== message.channel) channel = intake.channel(message.channel);
    const error = storeOne(message, channel, service, intake);
    if (error !== undefined) (failures ??= []).push({ index, error, indeterminate: error.indeterminate });
  }
  return failures ?? TAKEN;
}

function storeOne(
  message: OutgoingMessage,
  channel: MemoryChannel,
  service: string,
  { now, largestMessage, faults }: Intake,
): EventingError | undefined {
  if (message.body.length > largestMessage) {
    return new EventingError(
      'EVT_BODY_TOO_LARGE',
      `a message to "${message.channel}" has ${message.body.length} bytes; the in-memory broker takes ${largestMessage}: ` +
        'send less, or raise largestMessage',
    );
  }
  if (faults.rejections.hits(message)) {
    return new EventingError('EVT_PUBLISH_FAILED', 'the in-memory broker was told to refuse it: faults.rejectNext()');
  }
  const queues = message.to === undefined ? channel.queues : channel.queuesOf(service, message.to);
  if (message.to !== undefined && queues.length === 0) {
    return new EventingError(
      'EVT_PUBLISH_FAILED',
      `service "${service}" has no subscription "${message.to}" on channel "${message.channel}": ` +
        'start the listener once before something is sent to it alone',
    );
  }
  const copies = faults.duplicates.hits(message) ? 2 : 1;
  for (const queue of queues) {
    if (!queue.hasRoom(copies, message.body.length)) return full(queue.identity.name);
  }
  channel.store(message, now, queues, copies);
  return faults.lostConfirms.hits(message) ? lost() : undefined;
}

function full(queue: string): EventingError {
  return new EventingError(
    'EVT_PUBLISH_FAILED',
    `queue "${queue}" of the in-memory broker is full: let its listener catch up, or raise capacity (or capacityBytes)`,
  );
}

function lost(): EventingError {
  return new EventingError('EVT_PUBLISH_TIMEOUT', 'the in-memory broker kept its answer: faults.loseConfirmNext()', {
    indeterminate: true,
  });
}
