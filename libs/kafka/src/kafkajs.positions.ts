import { backoff } from 'nestjs-eventing';
import {
  DriverError,
  sourceName,
  type CommittedPosition,
  type StablePositions,
  type TopicPartition,
} from './kafka.driver.js';
import { errorOfCode, throwOnCode } from './kafkajs.codes.js';
import { NO_TAGS, compactLength, compactText } from './kafkajs.compact.js';
import type { KafkajsConnection } from './kafkajs.connection.js';

/** How often a position is looked for that a transaction is about to change; some seconds. */
const STABLE_LOOKS = 24;

/** Asks whom `connect` leads to, until no transaction is about to change what it says, or for some seconds. */
export async function readPositions(
  connect: () => Promise<KafkajsConnection>,
  group: string,
  partitions: readonly TopicPartition[],
  timeout: number,
): Promise<StablePositions> {
  if (partitions.length === 0) return { positions: [], unstable: [] };
  const body = encodePositionFetch(group, partitions);
  const decode = (answer: Buffer): Promise<StablePositions> => decodePositions(answer, group, partitions);
  for (let look = 1; ; look++) {
    const connection = await connect();
    const found = await connection.exchange('OffsetFetch', body, decode, timeout);
    if (found.unstable.length === 0 || look >= STABLE_LOOKS) return found;
    await new Promise((resolve) => setTimeout(resolve, backoff(look, 10, 500)));
  }
}

/**
 * The body of an OffsetFetch request, version 7, which kafkajs does not have: the first in which a broker says that a transaction over the
 * position is still being ended, where it gave the position before until then.
 */
export function encodePositionFetch(group: string, partitions: readonly TopicPartition[]): Buffer {
  const topics = new Map<string, number[]>();
  for (const { topic, partition } of partitions) topics.set(topic, [...(topics.get(topic) ?? []), partition]);
  const parts: Buffer[] = [NO_TAGS, compactText(group), compactLength(topics.size)];
  for (const [topic, numbers] of topics) {
    const indexes = Buffer.alloc(numbers.length * 4);
    for (const [at, number] of numbers.entries()) indexes.writeInt32BE(number, at * 4);
    parts.push(compactText(topic), compactLength(numbers.length), indexes, NO_TAGS);
  }
  parts.push(STABLE, NO_TAGS);
  return Buffer.concat(parts);
}

const UNSTABLE = 'UNSTABLE_OFFSET_COMMIT';

/**
 * Partitions without a position are left out. Throws a `DriverError` for the first that has an error, or of which nothing is said: who took
 * that for no position would begin anew.
 */
export async function decodePositions(
  answer: Buffer,
  group: string,
  asked: readonly TopicPartition[],
): Promise<StablePositions> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = answer.readUInt8(at++);
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  const text = (): string => {
    const length = Math.max(0, varint() - 1);
    return answer.toString('utf8', at, (at += length));
  };
  const int16 = (): number => answer.readInt16BE((at += 2) - 2);
  const int32 = (): number => answer.readInt32BE((at += 4) - 4);
  const tags = (): void => {
    for (let count = varint(); count > 0; count--) {
      varint();
      const size = varint();
      at += size;
    }
  };
  tags(); // of the header
  at += 4; // throttle time
  const positions: CommittedPosition[] = [];
  const unstable: TopicPartition[] = [];
  const silent = new Set(asked.map(sourceName));
  for (let topics = varint() - 1; topics > 0; topics--) {
    const topic = text();
    for (let count = varint() - 1; count > 0; count--) {
      const partition = int32();
      const offset = Number(answer.readBigInt64BE((at += 8) - 8));
      at += 4; // leader epoch
      const metadata = text();
      const error = errorOfCode(int16(), `reading the position of group ${group} in ${topic}/${partition}`);
      tags();
      silent.delete(sourceName({ topic, partition }));
      if (error?.type === UNSTABLE) unstable.push({ topic, partition });
      else if (error !== undefined) throw error;
      else if (offset >= 0) positions.push({ topic, partition, offset, metadata });
    }
    tags();
  }
  throwOnCode(int16(), `reading the positions of group ${group}`);
  const [left] = silent;
  if (left !== undefined)
    throw new DriverError('UNKNOWN', `nothing was said of the position of group ${group} in ${left}`);
  return Promise.resolve({ positions, unstable });
}

const STABLE = Buffer.from([1]);
