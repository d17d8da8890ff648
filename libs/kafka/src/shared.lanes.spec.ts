import { beforeEach, describe, expect, it } from 'vitest';
import { SharedLanes } from './shared.lanes.js';

describe('shared lanes', () => {
  let released: string[];
  let lanes: SharedLanes;
  beforeEach(() => {
    released = [];
    let made = 0;
    lanes = new SharedLanes(2, { open: () => `lane-${made++}`, release: (lane) => void released.push(lane) });
  });

  it('are made up to their number, and then shared evenly', () => {
    const places = Array.from({ length: 5 }, () => lanes.join());
    expect(places.map(({ lane }) => lane)).toEqual(['lane-0', 'lane-1', 'lane-0', 'lane-1', 'lane-0']);
    places[0]?.leave();
    places[2]?.leave();
    expect(lanes.join().lane).toBe('lane-0');
  });

  it('are released by whoever leaves last, once, and not used again', () => {
    const [first, second, third] = [lanes.join(), lanes.join(), lanes.join()];
    first.leave();
    first.leave();
    expect(released).toEqual([]);
    third.leave();
    third.leave();
    expect(released).toEqual(['lane-0']);
    expect([lanes.join().lane, lanes.join().lane]).toEqual(['lane-2', 'lane-1']);
    second.leave();
    expect(released).toEqual(['lane-0']);
  });
});
