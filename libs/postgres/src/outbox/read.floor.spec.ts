import { describe, expect, it } from 'vitest';
import { ReadFloor } from './read.floor.js';

const look = (last: number | undefined, xmin: number, xid: number): Parameters<ReadFloor['note']>[0] => ({
  last: last === undefined ? undefined : BigInt(last),
  xmin: BigInt(xmin),
  xid: BigInt(xid),
});

describe('the floor of a relay', () => {
  it('stays where it is while a transaction is open that may have drawn a lower position', () => {
    const floor = new ReadFloor();
    floor.note(look(10, 5, 8));
    floor.note(look(20, 7, 9));
    expect(floor.position).toBe(0n);
  });

  it('rises to what was seen, once all that had begun by then has ended', () => {
    const floor = new ReadFloor();
    floor.note(look(10, 5, 8));
    floor.note(look(20, 8, 9));
    expect(floor.position).toBe(10n);
    floor.note(look(undefined, 9, 10));
    expect(floor.position).toBe(20n);
  });

  it('does not pass by what a look had no room for', () => {
    const floor = new ReadFloor();
    floor.note(look(10, 5, 8));
    floor.note(look(4, 8, 9));
    expect(floor.position).toBe(4n);
  });

  it('goes down to what is to be looked at again, and up only with a new look', () => {
    const floor = new ReadFloor();
    floor.note(look(10, 5, 8));
    floor.note(look(undefined, 8, 9));
    floor.lower(12n);
    expect(floor.position).toBe(10n);
    floor.lower(3n);
    expect(floor.position).toBe(2n);
    floor.note(look(3, 20, 21));
    expect(floor.position).toBe(2n);
    floor.reset();
    expect(floor.position).toBe(0n);
  });
});
