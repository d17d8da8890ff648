import { describe, expect, it } from 'vitest';
import { fairShare } from './fair.share.js';
import type { Shares } from './lease.table.js';

interface World {
  readonly members: Map<string, readonly string[]>;
  readonly owners: Map<string, string | undefined>;
}

function sharesOf({ members, owners }: World): Shares {
  const sources = [...owners].map(([name, owner]) => {
    const [channel = '', partition = ''] = name.split('/');
    return { channel, partition: Number(partition), owner };
  });
  return { members, sources, mine: [] };
}

/** Every member does what it is told, one after the other, until nobody has anything to do. */
function settle(world: World): number {
  for (let round = 1; ; round++) {
    let changed = false;
    for (const member of world.members.keys()) {
      const shares = sharesOf(world);
      const mine = shares.sources.filter(({ owner }) => owner === member);
      const { claim, giveUp } = fairShare(member, shares, mine);
      for (const { channel, partition } of giveUp) world.owners.set(`${channel}/${partition}`, undefined);
      for (const [channel, most] of claim) {
        const free = [...world.owners].filter(([name, owner]) => name.startsWith(`${channel}/`) && owner === undefined);
        for (const [name] of free.slice(0, most)) world.owners.set(name, member);
        changed ||= free.length > 0;
      }
      changed ||= giveUp.length > 0;
    }
    if (!changed) return round;
  }
}

function world(members: Record<string, readonly string[]>, partitions: Record<string, number>): World {
  const owners = new Map<string, string | undefined>();
  for (const [channel, count] of Object.entries(partitions))
    for (let partition = 0; partition < count; partition++) owners.set(`${channel}/${partition}`, undefined);
  return { members: new Map(Object.entries(members)), owners };
}

function countOf({ owners }: World, member: string, channel = ''): number {
  return [...owners].filter(([name, owner]) => owner === member && name.startsWith(channel)).length;
}

describe('the fair share', () => {
  it('of one member is everything', () => {
    const one = world({ a: ['x', 'y'] }, { x: 3, y: 2 });
    settle(one);
    expect(countOf(one, 'a')).toBe(5);
  });

  it.each([2, 3, 5, 7])('of %i members differs by one at most, and nothing is left', (count) => {
    const names = Array.from({ length: count }, (_, index) => `m${index}`);
    const all = world(Object.fromEntries(names.map((name) => [name, ['orders']])), { orders: 16 });
    settle(all);
    const shares = names.map((name) => countOf(all, name));
    expect(shares.reduce((sum, share) => sum + share, 0)).toBe(16);
    expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1);
  });

  it('moves to members that join and back from those that leave, and then rests', () => {
    const some = world({ a: ['x'] }, { x: 6 });
    settle(some);
    some.members.set('b', ['x']);
    settle(some);
    expect([countOf(some, 'a'), countOf(some, 'b')]).toEqual([3, 3]);
    some.members.delete('a');
    for (const [name, owner] of some.owners) if (owner === 'a') some.owners.set(name, undefined);
    settle(some);
    expect(countOf(some, 'b')).toBe(6);
    expect(settle(some)).toBe(1);
  });

  it('leaves no channel without a reader where members read different ones', () => {
    const mixed = world({ old: ['x'], young: ['x', 'y'] }, { x: 4, y: 4 });
    settle(mixed);
    expect([countOf(mixed, 'old', 'x'), countOf(mixed, 'young', 'x'), countOf(mixed, 'young', 'y')]).toEqual([2, 2, 4]);
  });
});
