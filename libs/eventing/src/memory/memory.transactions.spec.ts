import { describe, expect, it } from 'vitest';
import type { EventProvider, OutgoingMessage } from '../provider/event-provider.js';
import { ACCEPT, FakeSubscriber, message, subscribe, textOf, World } from './memory.fixture.js';

const output = (channel: string, body: string, key = 'k'): OutgoingMessage => ({ ...message(body, { key }), channel });

/** One that holds what it gets, and what arrives on the channel of its outputs. */
async function relaying(
  options: ConstructorParameters<typeof World>[0] = {},
): Promise<{ world: World; app: EventProvider; held: FakeSubscriber; seen: FakeSubscriber }> {
  const world = new World(options);
  const app = await world.application();
  const [held, seen] = [FakeSubscriber.holding(), new FakeSubscriber()];
  await subscribe(app, held, { transactional: true });
  await subscribe(app, seen, { name: 'Audit', channels: ['bills'] });
  return { world, app, held, seen };
}

describe('an accept with outputs', () => {
  it('publishes them in one step with it, in order', async () => {
    const { world, app, held, seen } = await relaying();
    await app.publish([message('1')]);
    await world.rest();
    void held.at(0).settle({ kind: 'accept', outputs: [output('bills', 'a'), output('bills', 'b')] });
    expect(world.broker.queues()).toContainEqual(expect.objectContaining({ channel: 'orders', unsettled: 0 }));
    await world.rest();
    expect(seen.texts).toEqual(['a', 'b']);
  });

  it('publishes nothing a second time', async () => {
    const { world, app, held, seen } = await relaying();
    await app.publish([message('1')]);
    await world.rest();
    for (let time = 0; time < 2; time++) void held.at(0).settle({ kind: 'accept', outputs: [output('bills', 'a')] });
    await world.rest();
    expect(seen.texts).toEqual(['a']);
  });

  it('publishes nothing for a message that has been lost meanwhile', async () => {
    const { world, app, held, seen } = await relaying();
    await app.publish([message('1')]);
    await world.rest();
    world.broker.faults.disconnect();
    await held.at(0).settle({ kind: 'accept', outputs: [output('bills', 'a')] });
    world.broker.faults.connect();
    await world.clock.advance(10_000);
    expect(seen.texts).toEqual([]);
    expect(held.texts).toEqual(['1', '1']);
  });

  it('is refused as a whole where one of them has no room, and leaves the message unsettled', async () => {
    const { world, app, held, seen } = await relaying({ capacity: 2 });
    await app.publish([message('1')]);
    await world.rest();
    const outputs = ['a', 'b', 'c'].map((body) => output('bills', body));
    await expect(held.at(0).settle({ kind: 'accept', outputs })).rejects.toMatchObject({ code: 'EVT_PUBLISH_FAILED' });
    await world.rest();
    expect(seen.texts).toEqual([]);
    expect(world.broker.queues()).toContainEqual(expect.objectContaining({ channel: 'orders', unsettled: 1 }));
    await held.at(0).settle({ kind: 'accept', outputs: outputs.slice(0, 2) });
    await world.rest();
    expect(seen.deliveries.map(textOf)).toEqual(['a', 'b']);
    await held.at(0).settle(ACCEPT);
  });

  it('has the room that the message leaves, in a queue that is full', async () => {
    const { world, app, held } = await relaying({ capacity: 2, capacityBytes: 4, largestMessage: 2 });
    await app.publish([message('11'), message('22')]);
    await world.rest();
    const outputs = [output('orders', '33')];
    await expect(held.at(0).settle({ kind: 'accept', outputs: [...outputs, ...outputs] })).rejects.toMatchObject({
      code: 'EVT_PUBLISH_FAILED',
    });
    await held.at(0).settle({ kind: 'accept', outputs });
    await world.rest();
    expect(held.texts).toEqual(['11', '22', '33']);
  });

  it('is refused as a whole where one of them is too large, or the broker is told to refuse it', async () => {
    const { world, app, held, seen } = await relaying({ largestMessage: 10 });
    await app.publish([message('1')]);
    await world.rest();
    const large = [output('bills', 'a'), output('bills', 'x'.repeat(11))];
    await expect(held.at(0).settle({ kind: 'accept', outputs: large })).rejects.toMatchObject({
      code: 'EVT_BODY_TOO_LARGE',
    });
    world.broker.faults.rejectNext(1, ({ body }) => body.length === 2);
    const refused = [output('bills', 'a'), output('bills', 'bb')];
    await expect(held.at(0).settle({ kind: 'accept', outputs: refused })).rejects.toMatchObject({
      code: 'EVT_PUBLISH_FAILED',
    });
    await world.rest();
    expect(seen.texts).toEqual([]);
  });
});
