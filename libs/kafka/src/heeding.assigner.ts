import type { TopicPartition } from './kafka.driver.js';
import { sourceName } from './kafka.driver.js';

/** Named with the format of what members tell each other: members of different formats do not share a group. */
export const ASSIGNER_NAME = 'eventing-heeding-v1';

export interface GroupMember {
  readonly id: string;
  readonly topics: readonly string[];
  /** What it holds now, and in which generation of the group it got it. */
  readonly owned: readonly TopicPartition[];
  readonly generation: number;
}

interface Seat {
  readonly member: GroupMember;
  readonly topics: ReadonlySet<string>;
  readonly perTopic: Map<string, number>;
  load: number;
}

/**
 * Who reads what. A partition goes only to a member that subscribed to its topic (kafkajs's own assigner gives it to anyone, and
 * it is read by nobody: its #1679), so members with different channels can share a group, as in a rolling upgrade. Balanced over
 * all partitions, then over each topic; what is held stays where it is unless that leaves another member short.
 *
 * Cooperative: a partition that shall move is given to nobody at first. Its holder sees that it is gone, lets go in good order and
 * joins again; that second round gives it away. So no two members ever work on one partition, and what does not move is not
 * disturbed.
 */
export function assignHeeding(
  members: readonly GroupMember[],
  partitions: ReadonlyMap<string, number>,
): Map<string, TopicPartition[]> {
  const seats = [...members].sort((a, b) => compare(a.id, b.id)).map(seatOf);
  const holders = rightfulHolders(seats, partitions);
  const targets = new Map<string, Seat>();
  const all = listPartitions(partitions);
  for (const source of all) {
    const holder = holders.get(sourceName(source));
    if (holder !== undefined) place(source, holder, targets);
  }
  for (const source of all) {
    if (targets.has(sourceName(source))) continue;
    const seat = lightest(source.topic, seats);
    if (seat !== undefined) place(source, seat, targets);
  }
  even(all, seats, targets);

  const assignment = new Map<string, TopicPartition[]>(members.map(({ id }) => [id, []]));
  for (const source of all) {
    const target = targets.get(sourceName(source));
    const holder = holders.get(sourceName(source));
    if (target === undefined || (holder !== undefined && holder !== target)) continue;
    assignment.get(target.member.id)?.push(source);
  }
  return assignment;
}

function seatOf(member: GroupMember): Seat {
  return { member, topics: new Set(member.topics), perTopic: new Map(), load: 0 };
}

/** Of several that claim a partition, the one of the latest generation; the others slept through a rebalance. */
function rightfulHolders(seats: readonly Seat[], partitions: ReadonlyMap<string, number>): Map<string, Seat> {
  const holders = new Map<string, Seat>();
  for (const seat of seats) {
    for (const source of seat.member.owned) {
      const known = source.partition >= 0 && source.partition < (partitions.get(source.topic) ?? 0);
      if (!known || !seat.topics.has(source.topic)) continue;
      const rival = holders.get(sourceName(source));
      if (rival === undefined || rival.member.generation < seat.member.generation)
        holders.set(sourceName(source), seat);
    }
  }
  return holders;
}

function listPartitions(partitions: ReadonlyMap<string, number>): TopicPartition[] {
  const topics = [...partitions.keys()].sort(compare);
  return topics.flatMap((topic) =>
    Array.from({ length: partitions.get(topic) ?? 0 }, (_, partition) => ({ topic, partition })),
  );
}

function place(source: TopicPartition, seat: Seat, targets: Map<string, Seat>): void {
  const before = targets.get(sourceName(source));
  if (before !== undefined) {
    before.load--;
    before.perTopic.set(source.topic, loadOf(before, source.topic) - 1);
  }
  seat.load++;
  seat.perTopic.set(source.topic, loadOf(seat, source.topic) + 1);
  targets.set(sourceName(source), seat);
}

function loadOf(seat: Seat, topic: string): number {
  return seat.perTopic.get(topic) ?? 0;
}

function lightest(topic: string, seats: readonly Seat[]): Seat | undefined {
  let best: Seat | undefined;
  for (const seat of seats) {
    if (!seat.topics.has(topic)) continue;
    if (best === undefined || lighter(seat, best, topic)) best = seat;
  }
  return best;
}

function lighter(a: Seat, b: Seat, topic: string): boolean {
  return a.load !== b.load ? a.load < b.load : loadOf(a, topic) < loadOf(b, topic);
}

/** Moves partitions until no move makes it more even. Each move lowers the sum of squared loads, so it ends. */
function even(all: readonly TopicPartition[], seats: readonly Seat[], targets: Map<string, Seat>): void {
  for (let moved = true; moved;) {
    moved = false;
    for (const source of all) {
      const from = targets.get(sourceName(source));
      const to = lightest(source.topic, seats);
      if (from === undefined || to === undefined || from === to) continue;
      const gap = from.load - to.load;
      const topicGap = loadOf(from, source.topic) - loadOf(to, source.topic);
      // A gap of two or more is uneven; of one, moving mirrors it and is worth it only for the topic's sake.
      if (gap < 1 || (gap === 1 && topicGap < 2)) continue;
      if (gap >= 2 && topicGap < 1 && hasBetter(all, from, to, targets)) continue;
      place(source, to, targets);
      moved = true;
    }
  }
}

/** Whether `from` holds another partition that `to` could have, of a topic where it has more of them. */
function hasBetter(all: readonly TopicPartition[], from: Seat, to: Seat, targets: ReadonlyMap<string, Seat>): boolean {
  return all.some(
    (other) =>
      targets.get(sourceName(other)) === from &&
      to.topics.has(other.topic) &&
      loadOf(from, other.topic) > loadOf(to, other.topic),
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
