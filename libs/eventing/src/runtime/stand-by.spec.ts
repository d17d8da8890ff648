import { describe, expect, it } from 'vitest';
import { Event } from '../declare/event.decorator.js';
import { EventListener } from '../declare/event-listener.decorator.js';
import type { Envelope } from '../envelope/envelope.js';
import { Gate, refusal, turn, VirtualClock } from '../kernel.fixture.js';
import { MemoryBroker } from '../memory/memory.broker.js';
import { ScriptedProvider } from '../scripted.provider.fixture.js';
import { EventReplays } from './event-replays.js';
import { EventListeners } from './event-listeners.js';
import { type AppOptions, TestApp } from '../test.app.fixture.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'id' })
class OrderPlaced {
  id!: string;
}

/** A live application and another that stands by, on one broker. */
async function shop(options: AppOptions = {}) {
  const clock = new VirtualClock();
  const broker = new MemoryBroker({ clock });
  const seen: [by: string, id: string, isReplay: boolean][] = [];
  const listenerOf = (by: string) => {
    @EventListener(OrderPlaced, { name: 'Bill' })
    class Bill implements EventListener<OrderPlaced> {
      on({ id }: OrderPlaced, { isReplay }: Envelope<OrderPlaced>): void {
        seen.push([by, id, isReplay]);
      }
    }
    return Bill;
  };
  const live = await TestApp.start({ providers: [listenerOf('live')] }, { clock, broker });
  const standing = await TestApp.create({ providers: [listenerOf('standing')] }, { clock, broker, ...options });
  standing.runtime.standBy();
  return { clock, live, standing, seen };
}

describe('an application that stands by', () => {
  it('has its listeners replayed, and takes nothing of what is live', async () => {
    const { clock, live, standing, seen } = await shop();
    await live.events.sendEvent(OrderPlaced, { id: '1' });
    await standing.module.init();
    await live.events.sendEvent(OrderPlaced, { id: '2' });
    await live.idle();
    expect(standing.module.get(EventListeners).list()).toEqual([]);
    const replay = await standing.module.get(EventReplays).start({ listener: 'Bill', from: 'earliest' });
    await clock.advance(10);
    expect(await replay.ended).toMatchObject({ handled: 2, complete: true });
    expect(seen.filter(([by]) => by === 'live').map(([, id]) => id)).toEqual(['1', '2']);
    expect(seen.filter(([by]) => by === 'standing').sort()).toEqual([
      ['standing', '1', true],
      ['standing', '2', true],
    ]);
  });

  it('waits for its brokers, whatever start says, and starts no outbox', async () => {
    const provider = new ScriptedProvider();
    const gate = new Gate();
    provider.onStart = () => gate.promise;
    const { standing } = await shop({ start: 'background', provider: provider.factory });
    let started = 0;
    standing.runtime.publisher.attach({ start: () => void started++, stop: async () => undefined });
    let initialized = false;
    const initializing = standing.module.init().then(() => (initialized = true));
    await turn();
    expect(initialized).toBe(false);
    gate.open();
    await initializing;
    expect([standing.runtime.ready, started]).toEqual([true, 0]);
  });

  it('says which listeners there are', async () => {
    const { standing } = await shop();
    const replays = standing.module.get(EventReplays);
    expect((await refusal(replays.start({ listener: 'Bill', from: 'earliest' }))).code).toBe('EVT_NOT_RUNNING');
    await standing.module.init();
    expect(await refusal(replays.start({ listener: 'Bil', from: 'earliest' }))).toMatchObject({
      code: 'EVT_UNKNOWN_LISTENER',
      message: expect.stringContaining('there are Bill'),
    });
  });
});
