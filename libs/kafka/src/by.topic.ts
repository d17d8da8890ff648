import type { TopicPartition } from './kafka.driver.js';

/** As requests name partitions: the entries of each topic together, in order. */
export function byTopic<Item extends TopicPartition, Entry>(
  items: readonly Item[],
  entry: (item: Item) => Entry,
): { topic: string; partitions: Entry[] }[] {
  const topics = new Map<string, Entry[]>();
  for (const item of items) {
    const partitions = topics.get(item.topic);
    if (partitions === undefined) topics.set(item.topic, [entry(item)]);
    else partitions.push(entry(item));
  }
  return [...topics].map(([topic, partitions]) => ({ topic, partitions }));
}
