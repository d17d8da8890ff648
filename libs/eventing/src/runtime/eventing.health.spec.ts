import { Controller, Get } from '@nestjs/common';
import { HealthCheckService, TerminusModule } from '@nestjs/terminus';
import { Event, EventingHealth, EventListener, memory, MemoryBroker } from 'nestjs-eventing';
import { describe, expect, it } from 'vitest';
import { Gate, refusal, turn, VirtualClock } from '../kernel.fixture.js';
import { ScriptedProvider } from '../scripted.provider.fixture.js';
import { TestApp } from '../test.app.fixture.js';

@Event({ name: 'orders.placed', key: 'id' })
class OrderPlaced {
  id!: string;
}

async function holding(gate: Gate) {
  @EventListener(OrderPlaced, { concurrency: 2 })
  class Orders implements EventListener {
    on(): Promise<void> {
      return gate.promise;
    }
  }
  const clock = new VirtualClock(1_000_000);
  const broker = new MemoryBroker({ clock });
  const app = await TestApp.start(
    { imports: [TerminusModule], providers: [Orders] },
    { clock, broker, provider: memory({ broker }) },
  );
  return { app, clock, broker, health: app.module.get(EventingHealth) };
}

describe('EventingHealth', () => {
  it('reports connection, lag and the oldest event that is not settled', async () => {
    const gate = new Gate();
    const { app, clock, health } = await holding(gate);
    expect(await health.report()).toEqual({
      ready: true,
      providers: [{ name: 'default', kind: 'memory', connected: true }],
      subscriptions: [{ name: 'Orders', paused: false, discarded: 0, lag: 0, unsettled: 0, oldestUnsettled: 0 }],
    });
    for (const id of ['a', 'b', 'c']) await app.events.sendEvent(OrderPlaced, { id });
    await clock.advance(5000);
    expect((await health.report()).subscriptions).toEqual([
      { name: 'Orders', paused: false, discarded: 0, lag: 3, unsettled: 3, oldestUnsettled: 5000 },
    ]);
    gate.open();
    await app.idle();
    expect((await health.report()).subscriptions[0]).toMatchObject({ lag: 0, unsettled: 0, oldestUnsettled: 0 });
  });

  it('is down beyond its bounds, and says why', async () => {
    const gate = new Gate();
    const { app, clock, health } = await holding(gate);
    for (const id of ['a', 'b', 'c']) await app.events.sendEvent(OrderPlaced, { id });
    await clock.advance(5000);
    expect(await health.check('eventing', { maxLag: 3, maxAge: 5000 })).toMatchObject({ eventing: { status: 'up' } });
    expect(await health.check('mine', { maxLag: 2, maxAge: 4999 })).toMatchObject({
      mine: {
        status: 'down',
        message: 'Orders lags by 3; Orders has an event unsettled that was sent 5000 ms ago',
      },
    });
    gate.open();
  });

  it('is down while a broker is away, and before the start', async () => {
    const { broker, health } = await holding(new Gate());
    broker.faults.disconnect();
    expect((await health.check()).eventing).toMatchObject({ status: 'down', message: 'default is not connected' });
    broker.faults.connect();
    expect((await health.check()).eventing.status).toBe('up');
    const idle = await TestApp.create();
    expect((await idle.module.get(EventingHealth).check()).eventing).toMatchObject({
      status: 'down',
      message: 'it is not started',
    });
  });

  it('does not wait for a broker that does not answer, nor fail with one that fails', async () => {
    const provider = new ScriptedProvider();
    const clock = new VirtualClock();
    @EventListener(OrderPlaced)
    class Orders implements EventListener {
      on(): void {
        return;
      }
    }
    const app = await TestApp.start({ providers: [Orders] }, { clock, provider: provider.factory });
    const health = app.module.get(EventingHealth);
    provider.onLag = () => new Promise(() => undefined);
    const checking = health.check('eventing', { maxLag: 1, timeout: 500 });
    await turn();
    await clock.advance(500);
    expect((await checking).eventing).toMatchObject({
      status: 'down',
      message: 'Orders lags by nobody knows how much',
      subscriptions: [{ lag: undefined }],
    });
    provider.onLag = () => Promise.reject(new Error('away'));
    expect((await health.check()).eventing.status).toBe('up');
  });

  it('refuses bounds that are none', async () => {
    const { health } = await holding(new Gate());
    expect(await refusal(health.check('eventing', { maxLag: 0 }))).toMatchObject({ code: 'EVT_INVALID_OPTIONS' });
  });

  it('is an indicator of @nestjs/terminus', async () => {
    const { app, broker, health } = await holding(new Gate());
    @Controller('health')
    class HealthController {
      constructor(private readonly service: HealthCheckService) {}
      @Get()
      check() {
        return this.service.check([() => health.check('eventing')]);
      }
    }
    const controller = new HealthController(app.module.get(HealthCheckService));
    expect(await controller.check()).toMatchObject({ status: 'ok', info: { eventing: { status: 'up' } } });
    broker.faults.disconnect();
    await expect(controller.check()).rejects.toMatchObject({
      response: { status: 'error', error: { eventing: { status: 'down', message: 'default is not connected' } } },
    });
  });
});
