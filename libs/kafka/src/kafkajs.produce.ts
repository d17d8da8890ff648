import type { ProducerBatch } from './kafka.driver.js';
import type { BatchIdentity, RecordEncoder } from './record.encoder.js';

export interface StampedBatch {
  readonly batch: ProducerBatch;
  readonly identity: BatchIdentity;
}

/** Milliseconds for which the leader waits for its followers. */
export const PRODUCE_TIMEOUT = 30_000;

/** The body of a Produce request, version 7: at most one batch of each partition. */
export function encodeProduce(
  encoder: RecordEncoder,
  transactionalId: string | undefined,
  batches: readonly StampedBatch[],
): Buffer {
  encoder.begin(1024 + batches.reduce((sum, { batch }) => sum + batch.records.length * 256, 0));
  if (transactionalId === undefined) encoder.int16(-1);
  else encoder.string(transactionalId);
  encoder.int16(-1); // acks: all in-sync replicas
  encoder.int32(PRODUCE_TIMEOUT);
  const topics = new Map<string, StampedBatch[]>();
  for (const stamped of batches) {
    const ofTopic = topics.get(stamped.batch.topic);
    if (ofTopic === undefined) topics.set(stamped.batch.topic, [stamped]);
    else ofTopic.push(stamped);
  }
  encoder.int32(topics.size);
  for (const [topic, ofTopic] of topics) {
    encoder.string(topic);
    encoder.int32(ofTopic.length);
    for (const { batch, identity } of ofTopic) {
      encoder.int32(batch.partition);
      encoder.batch(batch.records, identity, transactionalId !== undefined);
    }
  }
  return encoder.finish();
}

/** Error codes by partition, `orders/3`. */
export async function decodeProduceAnswer(answer: Buffer): Promise<Map<string, number>> {
  let at = 0;
  const int32 = (): number => {
    at += 4;
    return answer.readInt32BE(at - 4);
  };
  const int16 = (): number => {
    at += 2;
    return answer.readInt16BE(at - 2);
  };
  const codes = new Map<string, number>();
  for (let topics = int32(); topics > 0; topics--) {
    const length = int16();
    const topic = answer.toString('utf8', at, (at += length));
    for (let partitions = int32(); partitions > 0; partitions--) {
      const partition = int32();
      codes.set(`${topic}/${partition}`, int16());
      at += 24; // base offset, append time, log start
    }
  }
  return Promise.resolve(codes);
}
