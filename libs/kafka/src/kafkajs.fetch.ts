import { gunzipSync } from 'node:zlib';
import kafkajs from 'kafkajs';
import { DriverError, type FetchedRecords, type IncomingRecord, type TopicPartition } from './kafka.driver.js';
import type { ResolvedKafkaOptions } from './kafka.options.js';
import { errorOfCode } from './kafkajs.codes.js';
import { RecordDecoder, type AbortedTransaction } from './record.decoder.js';

export interface FetchTarget extends TopicPartition {
  readonly offset: number;
}

export interface FetchedPartition extends TopicPartition {
  readonly error: DriverError | undefined;
  readonly fetched: FetchedRecords;
  /** Of the answer, whether or not there is a whole record in them. */
  readonly size: number;
}

/** A compressed batch that would become larger than this is refused: a few kilobytes can claim to be gigabytes. */
const LARGEST_INFLATED = 256 * 1024 * 1024;

/** The body of a Fetch request, version 10, without a fetch session. */
export function encodeFetch(
  targets: readonly FetchTarget[],
  options: ResolvedKafkaOptions,
  wait: number,
  bytesPerPartition: number,
): Buffer {
  const topics = new Map<string, FetchTarget[]>();
  let size = 64;
  for (const target of targets) {
    size += 32 + target.topic.length * 3;
    const ofTopic = topics.get(target.topic);
    if (ofTopic === undefined) topics.set(target.topic, [target]);
    else ofTopic.push(target);
  }
  const body = Buffer.allocUnsafe(size);
  let at = body.writeInt32BE(-1, 0); // not a replica
  at = body.writeInt32BE(wait, at);
  at = body.writeInt32BE(1, at); // answer as soon as there is anything
  at = body.writeInt32BE(Math.max(options.fetchBytes, bytesPerPartition), at);
  at = body.writeInt8(options.readUncommitted ? 0 : 1, at);
  at = body.writeInt32BE(0, at); // no session
  at = body.writeInt32BE(-1, at);
  at = body.writeInt32BE(topics.size, at);
  for (const [topic, ofTopic] of topics) {
    const length = body.write(topic, at + 2);
    body.writeInt16BE(length, at);
    at = body.writeInt32BE(ofTopic.length, at + 2 + length);
    for (const { partition, offset } of ofTopic) {
      at = body.writeInt32BE(partition, at);
      at = body.writeInt32BE(-1, at); // any leader epoch
      at = body.writeBigInt64BE(BigInt(offset), at);
      at = body.writeBigInt64BE(-1n, at);
      at = body.writeInt32BE(bytesPerPartition, at);
    }
  }
  at = body.writeInt32BE(0, at); // nothing to forget
  return body.subarray(0, at);
}

/** Reads the answer of version 10. One decoder serves one connection: it remembers header names. */
export class FetchAnswerDecoder {
  private readonly records = new RecordDecoder(decompress);

  async decode(answer: Buffer, targets: readonly FetchTarget[]): Promise<FetchedPartition[]> {
    let at = 0;
    const int32 = (): number => answer.readInt32BE((at += 4) - 4);
    const int16 = (): number => answer.readInt16BE((at += 2) - 2);
    const int64 = (): number => Number(answer.readBigInt64BE((at += 8) - 8));
    at += 4; // throttle time
    const whole = errorOfCode(int16(), 'fetching');
    if (whole !== undefined) throw whole;
    at += 4; // session
    const partitions: FetchedPartition[] = [];
    for (let topics = int32(); topics > 0; topics--) {
      const length = int16();
      const topic = answer.toString('utf8', at, (at += length));
      for (let count = int32(); count > 0; count--) {
        const partition = int32();
        let error = errorOfCode(int16(), `reading ${topic}/${partition}`);
        const highWatermark = int64();
        const lastStable = int64();
        at += 8; // log start
        const aborted: AbortedTransaction[] = [];
        for (let rest = int32(); rest > 0; rest--) {
          const producerId = answer.readBigInt64BE(at);
          at += 8;
          aborted.push({ producerId, firstOffset: int64() });
        }
        const size = Math.max(0, int32());
        const bytes = answer.subarray(at, (at += size));
        const from = targets.find((target) => target.topic === topic && target.partition === partition)?.offset ?? 0;
        const records: IncomingRecord[] = [];
        let nextOffset = from;
        if (error === undefined) {
          aborted.sort((a, b) => a.firstOffset - b.firstOffset);
          try {
            nextOffset = await this.records.decode(bytes, from, aborted, records);
          } catch (thrown) {
            error = thrown as DriverError;
          }
        }
        const endOffset = lastStable >= 0 ? lastStable : highWatermark;
        partitions.push({ topic, partition, error, fetched: { records, nextOffset, endOffset }, size });
      }
    }
    return partitions;
  }
}

// Node finds only some of kafkajs's names by itself.
const { CompressionCodecs, CompressionTypes } = kafkajs;

interface Codec {
  decompress(bytes: Buffer): Promise<Buffer> | Buffer;
}

/** gzip by Node; for the others the codec that the application gave kafkajs (`CompressionCodecs`). */
async function decompress(codec: number, bytes: Buffer): Promise<Buffer> {
  if (codec === (CompressionTypes.GZIP as number)) {
    return gunzipSync(bytes, { maxOutputLength: LARGEST_INFLATED });
  }
  const name = CompressionTypes[codec] ?? `codec ${codec}`;
  try {
    const create = (CompressionCodecs as Record<number, () => Codec>)[codec];
    if (create === undefined) throw new Error('unknown');
    return await create().decompress(bytes);
  } catch (cause) {
    throw new DriverError(
      'UNSUPPORTED_COMPRESSION_TYPE',
      `a batch is compressed with ${name}: add its codec to kafkajs's CompressionCodecs`,
      { cause },
    );
  }
}
