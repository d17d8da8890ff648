import { describe, expect, it } from 'vitest';
import { assignHeeding, type GroupMember } from './heeding.assigner.js';
import { sourceName, type TopicPartition } from './kafka.driver.js';

function member(
  id: string,
  topics: readonly string[],
  owned: readonly TopicPartition[] = [],
  generation = 1,
): GroupMember {
  return { id, topics, owned, generation };
}

/** Rounds until nobody has to let go, as a group does it; checks that no partition ever has two owners. */
function settle(
  members: readonly GroupMember[],
  partitions: ReadonlyMap<string, number>,
): { members: GroupMember[]; rounds: number } {
  let now = [...members];
  for (let rounds = 1; rounds <= 5; rounds++) {
    const assignment = assignHeeding(now, partitions);
    const given = [...assignment.values()].flat().map(sourceName);
    expect(new Set(given).size).toBe(given.length);
    const before = new Map(now.map(({ id, owned }) => [id, owned.map(sourceName)]));
    for (const [id, sources] of assignment) {
      for (const source of sources.map(sourceName)) {
        const holder = [...before].find(([, owned]) => owned.includes(source))?.[0];
        expect(holder ?? id, `${source} was given away while it was held`).toBe(id);
      }
    }
    const letting = now.some(({ id, owned }) => {
      const names = assignment.get(id)?.map(sourceName) ?? [];
      return owned.some((source) => !names.includes(sourceName(source)));
    });
    now = now.map((one) => ({ ...one, owned: assignment.get(one.id) ?? [], generation: one.generation + 1 }));
    if (!letting) return { members: now, rounds };
  }
  throw new Error('it never settles');
}

const loads = (members: readonly GroupMember[]): number[] => members.map(({ owned }) => owned.length);

describe('the assigner', () => {
  it('gives everything to one member, and shares evenly between several', () => {
    const partitions = new Map([
      ['orders', 6],
      ['shop.retry', 3],
    ]);
    const alone = settle([member('a', ['orders', 'shop.retry'])], partitions);
    expect(loads(alone.members)).toEqual([9]);
    const both = settle([...alone.members, member('b', ['orders', 'shop.retry'])], partitions);
    expect(loads(both.members).sort()).toEqual([4, 5]);
    expect(both.rounds).toBe(2);
    for (const { owned } of both.members) expect(owned.filter(({ topic }) => topic === 'orders').length).toBe(3);
  });

  it('gives a partition to nobody who did not ask for its topic', () => {
    const partitions = new Map([
      ['old', 4],
      ['new', 4],
    ]);
    const { members } = settle([member('a', ['old']), member('b', ['old', 'new'])], partitions);
    expect(members[0]?.owned.every(({ topic }) => topic === 'old')).toBe(true);
    expect(members.flatMap(({ owned }) => owned)).toHaveLength(8);
    expect(loads(members)).toEqual([4, 4]);
  });

  it('lets what is held stay when a member leaves or the balance is right', () => {
    const partitions = new Map([['orders', 6]]);
    const { members } = settle(
      ['a', 'b', 'c'].map((id) => member(id, ['orders'])),
      partitions,
    );
    const again = assignHeeding(members, partitions);
    for (const { id, owned } of members) expect(again.get(id)).toEqual(owned);
    const [a, b] = members as [GroupMember, GroupMember];
    const rest = assignHeeding([a, b], partitions);
    for (const { id, owned } of [a, b]) expect(rest.get(id)).toEqual(expect.arrayContaining([...owned]));
  });

  it('believes the later generation of two that claim one partition', () => {
    const held = [{ topic: 'orders', partition: 0 }];
    const sleeper = member('a', ['orders'], held, 3);
    const holder = member('b', ['orders'], held, 7);
    const assignment = assignHeeding([sleeper, holder], new Map([['orders', 1]]));
    expect(assignment.get('a')).toEqual([]);
    expect(assignment.get('b')).toEqual(held);
  });

  it('settles evenly whatever members come, go and ask for', () => {
    let seed = 7;
    const random = (below: number): number => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) % below;
    for (let trial = 0; trial < 300; trial++) {
      const partitions = new Map(Array.from({ length: 1 + random(4) }, (_, t) => [`t${t}`, 1 + random(7)]));
      const topics = [...partitions.keys()];
      let members: GroupMember[] = [];
      for (let step = 0; step < 5; step++) {
        const mixed = random(2) === 1;
        const chosen = mixed ? topics.filter(() => random(2) === 1) : topics;
        members = members.filter(() => random(4) > 0);
        members.push(member(`m${trial}-${step}`, chosen));
        members = settle(members, partitions).members;
        const wanted = topics.filter((topic) => members.some((one) => one.topics.includes(topic)));
        const count = wanted.reduce((sum, topic) => sum + (partitions.get(topic) ?? 0), 0);
        expect(members.flatMap(({ owned }) => owned)).toHaveLength(count);
        const alike = members.every((one) => one.topics.length === topics.length);
        const spread = Math.max(...loads(members)) - Math.min(...loads(members));
        expect(alike ? spread : 0).toBeLessThanOrEqual(1);
      }
    }
  });
});
