import { describe, expect, it } from 'vitest';
import { ACCEPT, FakeSubscriber, message, RELEASE, subscribe, World } from './memory.fixture.js';

/** How often the event loop turns until `done`. */
async function turnsUntil(done: Promise<unknown>): Promise<number> {
  const over = done.then(() => true);
  for (let turns = 0; ; turns++) {
    const turn = new Promise<boolean>((resolve) => setImmediate(() => resolve(false)));
    if (await Promise.race([over, turn])) return turns;
  }
}

describe('when messages are delivered', () => {
  it('lets the event loop turn while a listener works through a backlog of 100 000', async () => {
    const world = new World();
    const app = await world.application();
    let count = 0;
    await subscribe(app, {
      deliver: (delivery) => {
        count++;
        void delivery.settle(ACCEPT);
      },
      revoked: () => Promise.resolve(),
    });
    world.broker.faults.pauseDelivery();
    for (let batch = 0; batch < 100; batch++) {
      await app.publish(Array.from({ length: 1000 }, (_, index) => message(String(index), { key: String(index) })));
    }
    world.broker.faults.resumeDelivery();
    expect(await turnsUntil(world.broker.idle())).toBeGreaterThan(1);
    expect(count).toBe(100_000);
  });

  it('lets the event loop turn though a message is released for ever', async () => {
    const world = new World();
    const app = await world.application();
    const subscriber = new FakeSubscriber((delivery) => void delivery.settle(RELEASE));
    const handle = await subscribe(app, subscriber);
    await app.publish([message('1')]);
    for (let turn = 0; turn < 3; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
    await handle.stop();
    const count = subscriber.deliveries.length;
    expect(count).toBeGreaterThan(1);
    await world.rest();
    expect(subscriber.deliveries).toHaveLength(count);
  });

  it('lets listeners run, and what they wait for, though a sender awaits nothing but its sends', async () => {
    const world = new World({ capacity: 100_000 });
    const app = await world.application();
    const failures: unknown[] = [];
    let count = 0;
    await subscribe(app, {
      // Settled by the event loop, as after any real work.
      deliver: (delivery) => {
        setImmediate(() => {
          count++;
          void delivery.settle(ACCEPT);
        });
      },
      revoked: () => Promise.resolve(),
    });
    // Enough for several turns of the event loop.
    for (let index = 0; index < 5_000; index++) {
      failures.push(...(await app.publish([message('x', { key: String(index) })])));
    }
    // Before the sender was done.
    expect(count).toBeGreaterThan(0);
    await world.broker.idle();
    expect(failures).toEqual([]);
    expect(count).toBe(5_000);
  });

  it('gives each subscription its share: none waits until another has worked off its backlog', async () => {
    const world = new World();
    const app = await world.application();
    const order: string[] = [];
    for (const name of ['A', 'B']) {
      await subscribe(
        app,
        new FakeSubscriber((delivery) => {
          order.push(name);
          void delivery.settle(ACCEPT);
        }),
        { name },
      );
    }
    await app.publish(Array.from({ length: 500 }, (_, index) => message(String(index), { key: undefined })));
    await world.broker.idle();
    expect(order.indexOf('B')).toBeLessThan(100);
    expect(order.lastIndexOf('A')).toBeGreaterThan(400);
  });
});
