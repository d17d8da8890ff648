import { expect, it } from 'vitest';
import { hashKey } from './key.hash.js';
import { assignPartitions } from './queue.assignor.js';

const moved = (before: readonly (string | undefined)[], after: readonly (string | undefined)[]): number =>
  before.filter((owner, index) => owner !== after[index]).length;

it('balances partitions and moves no more than that needs', () => {
  let owners: (string | undefined)[] = Array.from({ length: 16 }, () => undefined);
  const members: string[] = [];
  const steps = ['+a', '+b', '+c', '-a', '+d', '+e', '-c', '-b', '+f', '-d', '-e'];
  for (const step of steps) {
    const name = step.slice(1);
    if (step.startsWith('+')) members.push(name);
    else members.splice(members.indexOf(name), 1);
    const next = assignPartitions(owners, members);
    const counts = members.map((member) => next.filter((owner) => owner === member).length);
    const orphans = owners.filter((owner) => owner === undefined || !members.includes(owner)).length;
    const least = step.startsWith('+') && members.length > 1 ? Math.floor(16 / members.length) : orphans;
    const balanced = Math.max(...counts) - Math.min(...counts) <= 1;
    const complete = next.every((owner) => owner !== undefined);
    expect({ step, balanced, complete, moved: moved(owners, next) }).toEqual({
      step,
      balanced: true,
      complete: true,
      moved: least,
    });
    owners = next;
  }
});

it('gives nothing to nobody', () => {
  expect(assignPartitions(['a', undefined], [])).toEqual([undefined, undefined]);
});

it('spreads keys, and gives a key the same number in every run', () => {
  expect(hashKey('')).toBe(0x811c9dc5);
  expect(hashKey('a')).toBe(0xe40c292c);
  expect(hashKey('foobar')).toBe(0xbf9cf968);
  const counts = Array.from({ length: 16 }, () => 0);
  for (let index = 0; index < 16_000; index++) counts[hashKey(`order-${index}`) % 16]!++;
  expect(Math.min(...counts)).toBeGreaterThan(800);
  expect(Math.max(...counts)).toBeLessThan(1200);
});
