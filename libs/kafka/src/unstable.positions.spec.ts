import { beforeEach, describe, expect, it } from 'vitest';
import { contextOf, HandClock, type TestContext } from './kafka.fixture.js';
import { UnstablePositions } from './unstable.positions.js';

describe('positions that a transaction holds', () => {
  let context: TestContext;
  let clock: HandClock;
  let unstable: UnstablePositions;
  beforeEach(() => {
    context = contextOf('shop');
    clock = new HandClock();
    unstable = new UnstablePositions('shop.Relay', context.logger, clock);
  });
  const told = (): string[] => context.lines.map((line) => line.replace(/: a transaction.*/, ''));

  it('are told of once, and again after they could be read', () => {
    unstable.found(['orders/0', 'orders/1']);
    unstable.found(['orders/0', 'orders/2']);
    unstable.over(['orders/0', 'orders/3']);
    unstable.found(['orders/0', 'orders/1']);
    expect(told()).toEqual([
      'error EVT_POSITION: shop.Relay waits in orders/0, orders/1',
      'error EVT_POSITION: shop.Relay waits in orders/2',
      'log shop.Relay goes on in orders/0.',
      'error EVT_POSITION: shop.Relay waits in orders/0',
    ]);
  });

  it('are the same trouble while they are asked for again and again', async () => {
    for (let minute = 0; minute < 3; minute++) {
      unstable.found(['orders/0']);
      await clock.advance(50_000, 50_000);
    }
    expect(told()).toHaveLength(1);
  });

  it('are new ones when another process may have had them meanwhile', async () => {
    unstable.found(['orders/0', 'orders/1']);
    await clock.advance(61_000, 61_000);
    unstable.over(['orders/1']);
    unstable.found(['orders/0']);
    expect(told()).toEqual([
      'error EVT_POSITION: shop.Relay waits in orders/0, orders/1',
      'error EVT_POSITION: shop.Relay waits in orders/0',
    ]);
  });
});
