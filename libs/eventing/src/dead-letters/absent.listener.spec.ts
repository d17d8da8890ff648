import { describe, expect, it } from 'vitest';
import { Event } from '../declare/event.decorator.js';
import { EventListener, type ListenerOptions } from '../declare/event-listener.decorator.js';
import { refusal } from '../kernel.fixture.js';
import { letterOf, ScriptedProvider } from '../scripted.provider.fixture.js';
import { TestApp } from '../test.app.fixture.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'id', durable: false })
class OrderPlaced {
  id!: string;
}

/** A letter of one listener, in an application that is made and not started. */
async function letterOfListener(options: ListenerOptions) {
  const provider = new ScriptedProvider();
  const letters = [letterOf({ id: 'l1', listener: 'Cache' })];
  provider.deadLetters.scan = () => Promise.resolve({ letters });
  Object.assign(provider.deadLetters, { remove: async () => void letters.splice(0) });
  @EventListener(OrderPlaced, { name: 'Cache', ...options })
  class Cache implements EventListener<OrderPlaced> {
    on(): void {
      return;
    }
  }
  const app = await TestApp.create({ providers: [Cache] }, { provider: provider.factory });
  return { app, provider, letters };
}

describe('redriving to a listener that is not durable', () => {
  it.each<ListenerOptions>([{ durable: false }, { perProcess: true }])(
    'is refused while it does not run: nobody would keep the event (%o)',
    async (options) => {
      const { app, provider, letters } = await letterOfListener(options);
      expect(await refusal(app.deadLetters.redrive('l1'))).toMatchObject({ code: 'EVT_DEAD_LETTER_ABSENT' });
      expect(await app.deadLetters.redriveAll()).toMatchObject({
        redriven: 0,
        failures: [{ id: 'l1', error: { code: 'EVT_DEAD_LETTER_ABSENT' } }],
      });
      expect([provider.messages, letters.length]).toEqual([[], 1]);
    },
  );

  it('is done where it runs, and anywhere when forced', async () => {
    const running = await letterOfListener({ durable: false });
    await running.app.module.init();
    await running.app.deadLetters.redrive('l1');
    const elsewhere = await letterOfListener({ durable: false });
    await elsewhere.app.deadLetters.redrive('l1', { force: true });
    for (const { provider, letters } of [running, elsewhere])
      expect([provider.messages.map(({ to }) => to), letters]).toEqual([['Cache'], []]);
  });

  it('is done for a durable one, whether it runs or not', async () => {
    const { app, provider } = await letterOfListener({});
    await app.deadLetters.redrive('l1');
    expect(provider.messages.map(({ to }) => to)).toEqual(['Cache']);
  });
});
