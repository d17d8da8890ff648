import { describe, expect, it } from 'vitest';
import type { EventProvider, StartPosition } from '../provider/event-provider.js';
import { FakeSubscriber, message, subscribe, World } from './memory.fixture.js';

async function read(world: World, app: EventProvider, from: StartPosition, name: string): Promise<string[]> {
  const subscriber = new FakeSubscriber();
  await subscribe(app, subscriber, { name, from });
  await world.broker.idle();
  return subscriber.texts;
}

const bodies = (count: number): string[] => Array.from({ length: count }, (_, index) => String(index));

describe('where a subscription begins', () => {
  it('begins with what is published after it was first made, or with the earliest kept', async () => {
    const world = new World();
    const app = await world.application();
    await app.publish([message('1'), message('2')]);
    expect(await read(world, app, 'first-subscription', 'Now')).toEqual([]);
    expect(await read(world, app, 'earliest', 'All')).toEqual(['1', '2']);
  });

  it('reaches a subscription with everything published after subscribe() resolved, and with the rest of a replay in order', async () => {
    const world = new World();
    const app = await world.application();
    await app.publish([message('1')]);
    const subscriber = new FakeSubscriber();
    await subscribe(app, subscriber, { from: 'earliest' });
    await app.publish([message('2')]);
    await world.broker.idle();
    expect(subscriber.texts).toEqual(['1', '2']);
  });

  it('begins with the first message stored at a time or later', async () => {
    const world = new World();
    const app = await world.application();
    await app.publish([message('early')]);
    await world.clock.advance(1000);
    const time = world.clock.now();
    await app.publish([message('late', { time: 0 })]);
    expect(await read(world, app, { time }, 'Late')).toEqual(['late']);
    expect(await read(world, app, { time: time + 1 }, 'Never')).toEqual([]);
  });

  it('begins at positions, inclusive and as deliveries name them; other sources at the earliest', async () => {
    const world = new World({ partitions: 2 });
    const app = await world.application();
    const subscriber = new FakeSubscriber();
    await subscribe(app, subscriber);
    await app.publish(bodies(8).map((body) => message(body, { key: undefined })));
    await world.broker.idle();
    const third = subscriber.deliveries.filter(({ source }) => source === 'orders/0')[2]!;
    const positions = { 'orders/0': third.position };
    const expected = subscriber.deliveries.filter(
      (delivery) => delivery.source === 'orders/1' || delivery.position >= '0@2',
    );
    expect(await read(world, app, { positions }, 'Marked')).toHaveLength(expected.length);
    expect(await read(world, app, { positions: { 'orders/0': '4', 'orders/1': '3' } }, 'End')).toHaveLength(1);
  });

  it('keeps its position whatever `from` says when it comes back', async () => {
    const world = new World();
    const app = await world.application();
    await app.publish([message('1')]);
    const handle = await subscribe(app, new FakeSubscriber());
    await handle.stop();
    await app.publish([message('2')]);
    expect(await read(world, app, { positions: { nonsense: 'x' } }, 'Receipt')).toEqual(['2']);
  });

  it('refuses positions that it cannot begin at, and makes no queue', async () => {
    const world = new World({ partitions: 1, retain: 2 });
    const app = await world.application();
    await app.publish(bodies(5).map((body) => message(body)));
    const wrong: [Record<string, string>, RegExp][] = [
      [{ 'payments/0': '1' }, /no such source; those of this subscription are "orders\/<partition>"/],
      [{ 'orders/7': '1' }, /no such source/],
      [{ 'orders/0': 'x' }, /write "42" or "0@42"/],
      [{ 'orders/0': '1@3' }, /write "42" or "0@42"/],
      [{ 'orders/0': '2' }, /oldest kept is 3.*raise retain/],
      [{ 'orders/0': '6' }, /next to come is 5/],
    ];
    for (const [positions, text] of wrong) {
      const refused = subscribe(app, new FakeSubscriber(), { from: { positions }, channels: ['orders'] });
      await expect(refused).rejects.toMatchObject({ code: 'EVT_POSITION', message: text });
    }
    expect(world.broker.queues()).toEqual([]);
    expect(await read(world, app, { positions: { 'orders/0': '3' } }, 'Fine')).toEqual(['3', '4']);
  });

  it('keeps the latest messages of a channel, by number and by bytes', async () => {
    for (const options of [{ retain: 3 }, { retainBytes: 30 }]) {
      const world = new World(options);
      const app = await world.application();
      await app.publish(bodies(9).map((body) => message(body.repeat(10))));
      expect(await read(world, app, 'earliest', 'All')).toEqual(['6', '7', '8'].map((body) => body.repeat(10)));
    }
  });
});
