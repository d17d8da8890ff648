import { expect, it } from 'vitest';
import { Deque } from './deque.js';

it('does what an array does, through growing, wrapping and shrinking', () => {
  const deque = new Deque<number>();
  const array: number[] = [];
  // Collected: an expect() for each would take seconds.
  const differences: unknown[] = [];
  const same = (actual: unknown, expected: unknown): void => {
    if (actual !== expected) differences.push({ actual, expected });
  };
  let state = 1;
  for (let step = 0; step < 20_000; step++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    // Long phases of growing and of shrinking.
    const grows = Math.floor(step / 4000) % 2 === 0 ? 6 : 2;
    const chance = (state >>> 16) % 8;
    if (chance >= grows) same(deque.shift(), array.shift());
    else if (chance === 0) {
      deque.unshift(step);
      array.unshift(step);
    } else {
      deque.push(step);
      array.push(step);
    }
    same(deque.size, array.length);
    same(deque.first(), array[0]);
    const index = array.length >> 1;
    same(deque.at(index), array[index]);
    if (array.length > 0 && chance === 1) {
      deque.set(index, -step);
      array[index] = -step;
    }
  }
  expect(differences).toEqual([]);
  expect([...deque]).toEqual(array);
  deque.clear();
  expect([...deque, deque.shift(), deque.first()]).toEqual([undefined, undefined]);
});
