import { EventingError } from '../errors/eventing.error.js';
import type { OutgoingMessage, PublishFailure } from '../provider/event-provider.js';
import type { MemoryChannel } from './memory.channel.js';
import type { MemoryFaults } from './memory.faults.js';
import type { MemoryQueue } from './memory.queue.js';

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
  const { now } = intake;
  let index = -1;
  for (const message of messages) {
    index++;
    if (channel?.name !== message.channel) channel = intake.channel(message.channel);
    const place = placeOf(message, channel, service, intake);
    const error = place instanceof EventingError ? place : put(place, intake, now);
    if (error !== undefined) (failures ??= []).push({ index, error, indeterminate: error.indeterminate });
  }
  return failures ?? TAKEN;
}

/** A message that leaves its queue together with what is stored: its room is free then. */
export interface Leaving {
  readonly queue: MemoryQueue;
  readonly bytes: number;
}

/** All of them, or none: the error of the first that cannot be stored. A confirmation cannot be lost here. */
export function storeTogether(
  messages: readonly OutgoingMessage[],
  service: string,
  intake: Intake,
  leaving: Leaving,
): EventingError | undefined {
  const places: Place[] = [];
  const claims = new Map([[leaving.queue, { count: -1, bytes: -leaving.bytes }]]);
  for (const message of messages) {
    const place = placeOf(message, intake.channel(message.channel), service, intake);
    if (place instanceof EventingError) return place;
    for (const queue of place.queues) {
      const claim = claims.get(queue) ?? { count: 0, bytes: 0 };
      claim.count += place.copies;
      claim.bytes += place.copies * message.body.length;
      if (!queue.hasRoom(claim.count, claim.bytes)) return full(queue.identity.name);
      claims.set(queue, claim);
    }
    places.push(place);
  }
  for (const { message, channel, queues, copies } of places) channel.store(message, intake.now, queues, copies);
  return undefined;
}

/** Where a message goes. */
interface Place {
  readonly message: OutgoingMessage;
  readonly channel: MemoryChannel;
  readonly queues: readonly MemoryQueue[];
  readonly copies: number;
}

function put({ message, channel, queues, copies }: Place, { faults }: Intake, now: number): EventingError | undefined {
  for (const queue of queues) {
    if (!queue.hasRoom(copies, copies * message.body.length)) return full(queue.identity.name);
  }
  channel.store(message, now, queues, copies);
  return faults.lostConfirms.hits(message) ? lost() : undefined;
}

function placeOf(
  message: OutgoingMessage,
  channel: MemoryChannel,
  service: string,
  { largestMessage, faults }: Intake,
): Place | EventingError {
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
  const queues = message.to === undefined ? channel.receivers : channel.queuesOf(service, message.to);
  if (message.to !== undefined && queues.length === 0) {
    return new EventingError(
      'EVT_PUBLISH_FAILED',
      `service "${service}" has no subscription "${message.to}" on channel "${message.channel}": ` +
        'start the listener once before something is sent to it alone',
    );
  }
  return { message, channel, queues, copies: faults.duplicates.hits(message) ? 2 : 1 };
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
