import { describe, expect, it } from 'vitest';
import type { Delivery, SubscriptionHandle } from '../provider/event-provider.js';
import { ACCEPT, FakeSubscriber, message, RELEASE, subscribe, textOf, World } from './memory.fixture.js';

/** Numbers from a seed, so that a failing run can be run again. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe('ownership of partitions', () => {
  it('moves nothing that need not move', async () => {
    const world = new World({ partitions: 1 });
    const [a, b] = [FakeSubscriber.holding(), FakeSubscriber.holding()];
    const app = await world.application('a');
    const handle = await subscribe(app, a);
    await app.publish(['1', '2', '3'].map((body) => message(body)));
    await a.received(3);
    await subscribe(await world.application('b'), b);
    await world.rest();
    expect(a.revocations).toEqual([]);
    await handle.stop();
    await b.received(3);
    expect(b.texts).toEqual(['1', '2', '3']);
  });

  it('honours what is settled while it moves, gives the rest on without an attempt, then ignores the old owner', async () => {
    const world = new World({ partitions: 2 });
    const [a, b] = [FakeSubscriber.holding(), FakeSubscriber.holding()];
    let letGo = (): void => undefined;
    a.onRevoked = () => new Promise((resolve) => (letGo = resolve));
    const app = await world.application('a');
    await subscribe(app, a);
    // Two messages in each partition.
    await app.publish(['1', '2', '3', '4'].map((body) => message(body, { key: undefined })));
    await a.received(4);
    await subscribe(await world.application('b'), b);
    await world.rest();
    expect(a.revocations).toHaveLength(1);
    const moving = a.deliveries.filter(({ source }) => source === a.revocations[0]?.[0]);
    const staying = a.deliveries.filter((delivery) => !moving.includes(delivery));
    expect([moving.length, staying.length]).toEqual([2, 2]);
    void moving[0]?.settle(ACCEPT);
    await app.publish([message('5', { key: undefined }), message('6', { key: undefined })]);
    await world.rest();
    expect(b.texts).toEqual([]);
    letGo();
    await world.rest();
    void moving[1]?.settle(ACCEPT);
    expect(b.deliveries.map(({ position, attempt }) => [position, attempt])).toEqual([
      [moving[1]?.position, 1],
      [moving[1]?.position.replace('@1', '@2'), 1],
    ]);
    expect(world.broker.queues()).toMatchObject([{ unsettled: 5, waiting: 0 }]);
  });

  describe('of a member that paused while messages wait', () => {
    async function paused(): Promise<{
      world: World;
      a: FakeSubscriber;
      b: FakeSubscriber;
      handle: SubscriptionHandle;
    }> {
      const world = new World({ partitions: 2 });
      const [a, b] = [FakeSubscriber.holding(), FakeSubscriber.holding()];
      const app = await world.application('a');
      const handle = await subscribe(app, a);
      handle.pause();
      await app.publish(['1', '2', '3', '4'].map((body) => message(body, { key: undefined })));
      return { world, a, b, handle };
    }

    it('delivers nothing of what is moving when it resumes', async () => {
      const { world, a, b, handle } = await paused();
      a.onRevoked = () => new Promise(() => undefined);
      await subscribe(await world.application('b'), b);
      handle.resume();
      await world.rest();
      expect(a.deliveries).toHaveLength(2);
      expect(a.deliveries.map(({ source }) => source)).not.toContain(a.revocations.flat()[0]);
    });

    it('delivers nothing of what has moved when it resumes', async () => {
      const { world, a, b, handle } = await paused();
      await subscribe(await world.application('b'), b, { window: 1 });
      await b.received(1);
      handle.resume();
      await world.rest();
      expect(a.deliveries).toHaveLength(2);
      expect(b.deliveries).toHaveLength(1);
      expect(a.deliveries.map(({ source }) => source)).not.toContain(b.at(0).source);
    });
  });

  it('waits for an owner that does not let go no longer than rebalanceDrain', async () => {
    const world = new World({ partitions: 2 });
    const [a, b] = [FakeSubscriber.holding(), FakeSubscriber.holding()];
    a.onRevoked = () => new Promise(() => undefined);
    await subscribe(await world.application('a', { rebalanceDrain: 700 }), a);
    const app = await world.application('b');
    await subscribe(app, b);
    await app.publish(['1', '2'].map((body) => message(body, { key: undefined })));
    await world.clock.advance(699);
    expect(b.texts).toEqual([]);
    await world.clock.advance(1);
    expect(b.deliveries).toHaveLength(1);
  });

  it('counts a revoked() that fails as done', async () => {
    const world = new World({ partitions: 2 });
    const a = new FakeSubscriber();
    a.onRevoked = () => {
      throw new Error('broken');
    };
    await subscribe(await world.application('a'), a);
    await subscribe(await world.application('b'), new FakeSubscriber());
    await world.rest();
    expect(new Set(Object.values(world.broker.queues()[0]!.owners))).toEqual(new Set(['a', 'b']));
  });

  it('spreads partitions evenly when many join at once and leave while partitions are on their way', async () => {
    const world = new World();
    const handles: SubscriptionHandle[] = [];
    for (const instance of ['a', 'b', 'c', 'd', 'e']) {
      handles.push(await subscribe(await world.application(instance), new FakeSubscriber()));
    }
    await handles[0]?.stop();
    await handles[3]?.stop();
    await world.rest();
    const owners = Object.values(world.broker.queues()[0]!.owners);
    const counts = ['b', 'c', 'e'].map((instance) => owners.filter((owner) => owner === instance).length);
    expect(counts.toSorted((x, y) => x - y)).toEqual([5, 5, 6]);
  });

  it('needs no more than it has: more members than partitions', async () => {
    const world = new World({ partitions: 2 });
    const members = [new FakeSubscriber(), new FakeSubscriber(), new FakeSubscriber()];
    for (const [index, member] of members.entries()) await subscribe(await world.application(`i${index}`), member);
    const app = await world.application('sender');
    await world.rest();
    await app.publish(Array.from({ length: 20 }, (_, index) => message(String(index), { key: undefined })));
    await world.broker.idle();
    expect(members.map(({ deliveries }) => deliveries.length).toSorted((a, b) => a - b)).toEqual([0, 10, 10]);
  });

  it.each(Array.from({ length: 50 }, (_, index) => index + 1))(
    'keeps each key in order, in one place at a time, and loses nothing while members come and go (seed %i)',
    async (seed) => {
      const random = randomFrom(seed);
      const world = new World({ partitions: 1 + random(16) });
      const sender = await world.application('sender');
      const handled = new Map<string, number[]>();
      /** Who may work on a source at this moment. */
      const holders = new Map<string, Member>();
      const members: Member[] = [];
      let joined = 0;

      const join = async (): Promise<void> => {
        const member = new Member((source) => {
          const holder = holders.get(source);
          if (holder !== undefined && holder !== member) throw new Error(`${source} has two owners`);
          holders.set(source, member);
        });
        member.subscriber.onRevoked = async () => {
          const sources = member.subscriber.revocations.at(-1) ?? [];
          for (let turn = random(4); turn > 0; turn--) await new Promise((resolve) => setImmediate(resolve));
          member.drop((delivery) => sources.includes(delivery.source));
          for (const source of sources) if (holders.get(source) === member) holders.delete(source);
        };
        members.push(member);
        member.handle = await subscribe(await world.application(`i${joined++}`), member.subscriber, {
          window: 1 + random(20),
        });
      };
      const part = async (): Promise<void> => {
        const [gone] = members.splice(random(members.length), 1);
        gone?.drop(() => true);
        for (const [source, holder] of holders) if (holder === gone) holders.delete(source);
        await gone?.handle?.stop();
      };
      const work = (): void => {
        for (const member of members) member.work(random, handled);
      };

      await join();
      let sent = 0;
      while (sent < 300) {
        const size = 1 + random(20);
        await sender.publish(Array.from({ length: size }, () => message(String(sent), { key: `key-${sent++ % 7}` })));
        if (random(4) === 0) await join();
        if (members.length > 1 && random(4) === 0) await part();
        work();
        if (random(2) === 0) await world.rest();
      }
      for (let round = 0; round < 2000 && [...handled.values()].flat().length < sent; round++) {
        await world.rest();
        work();
      }
      const all = [...handled.values()].flat();
      expect(all).toHaveLength(sent);
      expect(new Set(all).size).toBe(sent);
      for (const numbers of handled.values()) expect(numbers).toEqual(numbers.toSorted((x, y) => x - y));
      expect(world.broker.queues()).toMatchObject([{ waiting: 0, unsettled: 0 }]);
    },
  );
});

/** Handles as the kernel does: of each key the first that is open, some of them later, some of them released. */
class Member {
  handle: SubscriptionHandle | undefined;
  readonly subscriber: FakeSubscriber;
  private open: Delivery[] = [];

  constructor(mayWork: (source: string) => void) {
    this.subscriber = new FakeSubscriber((delivery) => {
      mayWork(delivery.source);
      this.open.push(delivery);
    });
  }

  drop(lost: (delivery: Delivery) => boolean): void {
    this.open = this.open.filter((delivery) => !lost(delivery));
  }

  work(random: (below: number) => number, handled: Map<string, number[]>): void {
    const seen = new Set<string | undefined>();
    for (const delivery of [...this.open]) {
      const { key } = delivery;
      if (seen.has(key)) continue;
      seen.add(key);
      const chance = random(8);
      if (chance < 3) continue;
      if (chance === 3) {
        // None of its key may overtake a released one, so they go back with it.
        for (const same of this.open.filter((other) => other.key === key)) void same.settle(RELEASE);
        this.drop((other) => other.key === key);
        continue;
      }
      this.drop((other) => other === delivery);
      void delivery.settle(ACCEPT);
      handled.set(key ?? '', [...(handled.get(key ?? '') ?? []), Number(textOf(delivery))]);
    }
  }
}
