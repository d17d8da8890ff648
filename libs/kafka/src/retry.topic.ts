import type { OutgoingMessage, RawHeaders } from 'nestjs-eventing';
import type { KafkaDelivery, Origin } from './kafka.delivery.js';
import type { IncomingRecord } from './kafka.driver.js';
import { partitionOf } from './murmur2.js';
import type { ProducerRecord } from './producer.queue.js';

/** Reserved: what the retry topic adds to a message's own headers. */
const PREFIX = 'eventing-';
const TARGET = `${PREFIX}target`;
const CHANNEL = `${PREFIX}channel`;
const POSITION = `${PREFIX}position`;
const TIME = `${PREFIX}time`;
const ATTEMPT = `${PREFIX}attempt`;
const NOT_BEFORE = `${PREFIX}not-before`;
const ADDED: ReadonlySet<string> = new Set([TARGET, CHANNEL, POSITION, TIME, ATTEMPT, NOT_BEFORE]);

const LONGEST_NAME = 512;
/** Milliseconds. What waits longer is kept apart, in the last partition, so that soon ones never queue behind it. */
const LONG = 600_000;

/** Who reads what of the retry topic. */
export interface RetryTargets {
  /** What this subscription's own deferred messages are addressed to. */
  readonly own: string;
  readonly all: ReadonlySet<string>;
}

/**
 * The targets of a subscription. A process with a copy of its own defers for itself alone, and hears of what is sent to the
 * subscription as well.
 */
export function retryTargets(name: string, instance: string | undefined): RetryTargets {
  const own = instance === undefined ? name : `${name}#${instance}`;
  return { own, all: new Set([name, own]) };
}

/**
 * One topic of a service where messages wait that belong to a single subscription: deferred ones and redriven dead letters. Each
 * group of the service reads all of it and passes over, by one header, what is for others.
 */
export class RetryTopic {
  constructor(readonly topic: string) {}

  /** A message deferred by a listener. */
  deferred(delivery: KafkaDelivery, target: string, notBefore: number, attempt: number, now: number): ProducerRecord {
    const key = delivery.record.key ?? undefined;
    const place = notBefore - now > LONG ? lastPartition : key === undefined ? anyOther : otherBy(key);
    return this.record(key, delivery.body, delivery.headers, now, place, {
      [TARGET]: target,
      [CHANNEL]: delivery.channel,
      [POSITION]: delivery.position,
      [TIME]: String(delivery.time),
      [ATTEMPT]: String(attempt),
      [NOT_BEFORE]: String(Math.ceil(notBefore)),
    });
  }

  /** A message on its way to its channel, or to one subscription alone. */
  recordOf(message: OutgoingMessage, now: number): ProducerRecord {
    const { channel: topic, key, body: value, headers, time, to } = message;
    return to === undefined ? { topic, key, value, headers, time } : this.targeted(message, to, now);
  }

  targeted(message: OutgoingMessage, target: string, now: number): ProducerRecord {
    const place = message.key === undefined ? anyOther : otherBy(message.key);
    return this.record(message.key, message.body, message.headers, now, place, {
      [TARGET]: target,
      [CHANNEL]: message.channel,
      [TIME]: String(message.time),
    });
  }

  /** Undefined: not for these targets. Hostile: whatever is not a plausible number counts as absent. */
  read(record: IncomingRecord, targets: RetryTargets): Origin | undefined {
    const target = text(record.headers[TARGET]);
    const channel = text(record.headers[CHANNEL]);
    if (target === undefined || channel === undefined || !targets.all.has(target)) return undefined;
    const headers: Record<string, Uint8Array> = {};
    for (const name in record.headers) {
      if (!ADDED.has(name)) headers[name] = record.headers[name] as Uint8Array;
    }
    return {
      channel,
      position: text(record.headers[POSITION]),
      time: whole(record.headers[TIME]) ?? record.time,
      attempt: Math.max(1, whole(record.headers[ATTEMPT]) ?? 1),
      notBefore: whole(record.headers[NOT_BEFORE]),
      headers,
    };
  }

  /** Stored with the present time: it is by that time that Kafka forgets. */
  private record(
    key: string | Uint8Array | undefined,
    value: Uint8Array,
    headers: RawHeaders,
    time: number,
    place: (partitions: number) => number,
    added: Readonly<Record<string, string>>,
  ): ProducerRecord {
    return { topic: this.topic, key, value, headers: { ...headers, ...added }, time, place };
  }
}

function lastPartition(partitions: number): number {
  return partitions - 1;
}

function anyOther(partitions: number): number {
  return Math.floor(Math.random() * Math.max(1, partitions - 1));
}

function otherBy(key: string | Uint8Array): (partitions: number) => number {
  return (partitions) => partitionOf(key, Math.max(1, partitions - 1));
}

function text(value: Uint8Array | undefined): string | undefined {
  if (value === undefined || value.length === 0 || value.length > LONGEST_NAME) return undefined;
  return Buffer.from(value.buffer, value.byteOffset, value.length).toString('utf8');
}

function whole(value: Uint8Array | undefined): number | undefined {
  const digits = text(value);
  return digits !== undefined && /^\d{1,15}$/.test(digits) ? Number(digits) : undefined;
}
