import { describe, expect, it } from 'vitest';
import { DeadLetterTopic } from './dead-letter.topic.js';
import type { FetchedRecords, KafkaDriver } from './kafka.driver.js';
import type { ProducerQueue } from './producer.queue.js';
import type { Topology } from './topology.js';

const LETTER = { offset: 0, time: 5, key: Buffer.from('one'), value: Buffer.from('body'), headers: {} };
const NOTHING: FetchedRecords = { records: [], nextOffset: 0, endOffset: 1 };

/** @param answers to one read after the other @param ends what the leader says when it is asked for the end, one after the other */
function letters(answers: readonly FetchedRecords[], ends: readonly number[]): DeadLetterTopic {
  const reads = [...answers];
  const stable = [...ends];
  const driver: Pick<KafkaDriver, 'offsets' | 'read'> = {
    offsets: (_topic, _partitions, at) =>
      Promise.resolve(new Map([[0, at === 'earliest' ? 0 : (stable.shift() ?? Number.NaN)]])),
    read: () => {
      const answer = reads.shift();
      return answer === undefined ? Promise.reject(new Error('read too often')) : Promise.resolve(answer);
    },
  };
  const topology: Pick<Topology, 'ensure'> = { ensure: () => Promise.resolve() };
  const queue = {} as ProducerQueue;
  return new DeadLetterTopic('dead-letters', driver as KafkaDriver, queue, topology as Topology, () => 0);
}

const idsOf = async (topic: DeadLetterTopic): Promise<string[]> =>
  (await topic.scan({ limit: 10 })).letters.map(({ id }) => id);

describe('a scan of the dead-letter topic', () => {
  it('leaves nothing out where a new leader does not know the end yet', async () => {
    const found = { records: [LETTER], nextOffset: 1, endOffset: 1 };
    expect(await idsOf(letters([{ ...NOTHING, endOffset: 0 }, found], [1, 1]))).toEqual(['one']);
  });

  it('ends where the topic was made anew meanwhile, or holds nothing any more before its end', async () => {
    expect(await idsOf(letters([{ ...NOTHING, endOffset: 0 }], [1, 0]))).toEqual([]);
    expect(await idsOf(letters([NOTHING], [1]))).toEqual([]);
  });
});
