import { partitionOf } from '../log/partition.of.js';
import type { Source } from '../log/stored.event.js';
import type { Shares } from './lease.table.js';

/** What a member is to do so that each has its fair share: so many sources of each channel to take, and those to give up. */
export interface ShareChange {
  readonly claim: ReadonlyMap<string, number>;
  readonly giveUp: readonly Source[];
}

/**
 * Every member computes the same shares from the same members: of each channel, the sources are divided among those that read it, and the
 * ones that are left over go to other members for other channels. Members of one subscription may read different channels.
 *
 * @param mine what this member has, without what it is giving up already
 */
export function fairShare(member: string, shares: Shares, mine: readonly Source[]): ShareChange {
  const claim = new Map<string, number>();
  const giveUp: Source[] = [];
  for (const channel of shares.members.get(member) ?? []) {
    const readers = [...shares.members].filter(([, channels]) => channels.includes(channel)).map(([name]) => name);
    readers.sort();
    const sources = shares.sources.filter((source) => source.channel === channel);
    const quota = quotaOf(channel, readers, member, sources.length);
    const own = mine.filter((source) => source.channel === channel);
    if (own.length > quota) giveUp.push(...own.slice(quota));
    else if (own.length < quota && sources.some(({ owner }) => owner === undefined))
      claim.set(channel, quota - own.length);
  }
  return { claim, giveUp };
}

function quotaOf(channel: string, readers: readonly string[], member: string, sources: number): number {
  const turn = partitionOf(channel, readers.length);
  const rank = (readers.indexOf(member) + turn) % readers.length;
  return Math.floor(sources / readers.length) + (rank < sources % readers.length ? 1 : 0);
}
