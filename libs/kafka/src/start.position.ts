import { EventingError, type StartPosition } from 'nestjs-eventing';
import { sourceName, type KafkaDriver, type OffsetQuery, type TopicPartition } from './kafka.driver.js';

const OFFSET = /^(?:\d{1,9}@)?(\d{1,15})$/;

/** Throws EVT_POSITION for what cannot be a position, naming it. */
export function checkStart(from: StartPosition, subscription: string): void {
  if (typeof from === 'string') return;
  if ('time' in from) {
    if (Number.isSafeInteger(from.time) && from.time >= 0) return;
    throw refused(subscription, `\`time\` ${String(from.time)} is not a number of milliseconds since 1970`);
  }
  for (const [source, position] of Object.entries(from.positions)) {
    if (!/^[^/]+\/\d+$/.test(source)) throw refused(subscription, `"${source}" is not a partition, e.g. "orders/0"`);
    if (!OFFSET.test(position)) throw refused(subscription, `"${position}" of ${source} is not an offset, e.g. "42"`);
  }
}

/** Offsets at which partitions begin that no position is kept of. */
export async function findStart(
  driver: KafkaDriver,
  from: StartPosition,
  sources: readonly TopicPartition[],
): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  const asked: TopicPartition[] = [];
  for (const source of sources) {
    const given = typeof from === 'object' && 'positions' in from ? from.positions[sourceName(source)] : undefined;
    const offset = given === undefined ? undefined : OFFSET.exec(given)?.[1];
    if (offset === undefined) asked.push(source);
    else found.set(sourceName(source), Number(offset));
  }
  const at = from === 'first-subscription' ? 'latest' : typeof from === 'object' && 'time' in from ? from : 'earliest';
  return new Map([...found, ...(await findOffsets(driver, asked, at))]);
}

/** By the names of the partitions, which may be of several topics. */
export async function findOffsets(
  driver: KafkaDriver,
  sources: readonly TopicPartition[],
  at: OffsetQuery,
): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (const topic of new Set(sources.map((source) => source.topic))) {
    const partitions = sources.filter((source) => source.topic === topic).map((source) => source.partition);
    for (const [partition, offset] of await driver.offsets(topic, partitions, at))
      found.set(sourceName({ topic, partition }), offset);
  }
  return found;
}

function refused(subscription: string, why: string): EventingError {
  return new EventingError('EVT_POSITION', `\`from\` of subscription ${subscription} cannot be used: ${why}.`);
}
