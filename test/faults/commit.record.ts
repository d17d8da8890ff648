import type { Committed } from './history.js';

interface CommitRecord extends Committed {
  readonly group: string;
  readonly topic: string;
}

/** Kafka's newest version of the key of a commit; the next one is that of a group's members. */
const NEWEST_COMMIT_KEY = 1;

/** A record of `__consumer_offsets`; undefined if it is not a commit, or one that was taken back. */
export function readCommit(key: Buffer | null, value: Buffer | null): CommitRecord | undefined {
  if (key === null || value === null || key.readInt16BE(0) > NEWEST_COMMIT_KEY) return undefined;
  const groupEnd = 4 + key.readInt16BE(2);
  const topicEnd = groupEnd + 2 + key.readInt16BE(groupEnd);
  return {
    group: key.toString('utf8', 4, groupEnd),
    topic: key.toString('utf8', groupEnd + 2, topicEnd),
    partition: key.readInt32BE(topicEnd),
    // Of the value, the first thing in each version.
    offset: Number(value.readBigInt64BE(2)),
  };
}
