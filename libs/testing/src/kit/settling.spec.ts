import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { Injectable } from '@nestjs/common';
import { type Envelope, EventListener, EventManager } from 'nestjs-eventing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { failure, OrderPlaced, ReceiptSent, start } from './kit.fixture.js';
import { testEventing } from './test.eventing.js';

const HOUR = 3_600_000;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

class Gate {
  open!: () => void;
  readonly promise = new Promise<void>((resolve) => (this.open = resolve));
}

/** A listener that waits for its gate. */
function stuck(gate: Gate) {
  @EventListener(OrderPlaced, { retry: { attempts: 2 } })
  class Stuck {
    on(): Promise<void> {
      return gate.promise;
    }
  }
  return Stuck;
}

describe('settled()', () => {
  it('resolves at once where nothing was sent, and moves no clock for it', async () => {
    const eventing = testEventing();
    await start(eventing, []);
    await eventing.settled();
    expect(eventing.clock.now()).toBe(Date.UTC(2026, 0, 1));
  });

  it('waits for sends that nobody has awaited, and for all that they cause', async () => {
    @EventListener(OrderPlaced)
    class First {
      constructor(private readonly events: EventManager) {}
      async on({ orderId }: OrderPlaced): Promise<void> {
        for (let turns = 0; turns < 20; turns++) await turn();
        void this.events.sendEvent(ReceiptSent, { orderId });
      }
    }
    @EventListener(ReceiptSent)
    class Second {
      async on(): Promise<void> {
        await turn();
      }
    }
    const eventing = testEventing();
    const { events } = await start(eventing, [First, Second]);
    for (let order = 0; order < 100; order++) void events.sendEvent(OrderPlaced, { orderId: `${order}` });
    await eventing.settled();
    expect([eventing.handled(First).length, eventing.handled(Second).length]).toEqual([100, 100]);
  });

  it('waits for real work, without a timeout of the listener in virtual time', async () => {
    const server = createServer((socket) => void socket.on('error', () => undefined).pipe(socket)).listen(
      0,
      '127.0.0.1',
    );
    onTestFinished(() => void server.close());
    await once(server, 'listening');
    @EventListener(OrderPlaced, { timeout: 1000, retry: { attempts: 1 } })
    class Remote {
      async on({ orderId }: OrderPlaced): Promise<void> {
        const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
        socket.write(orderId);
        const [answer] = (await once(socket, 'data')) as [Buffer];
        socket.destroy();
        expect(String(answer)).toBe(orderId);
      }
    }
    const eventing = testEventing();
    const { events } = await start(eventing, [Remote]);
    const begin = eventing.clock.now();
    for (let order = 0; order < 20; order++) await events.sendEvent(OrderPlaced, { orderId: `${order}` });
    await eventing.settled();
    expect(eventing.handled(Remote)).toHaveLength(20);
    expect(eventing.clock.now()).toBe(begin);
  });

  it('moves the clock through every back-off, to the end of the retries', async () => {
    @EventListener(OrderPlaced, { retry: { attempts: 5, delay: 30_000, factor: 1 } })
    class Failing {
      on(): void {
        throw new Error('no');
      }
    }
    const eventing = testEventing();
    const { events } = await start(eventing, [Failing]);
    const begin = eventing.clock.now();
    await events.sendEvent(OrderPlaced, { orderId: '1' });
    await eventing.settled();
    expect(eventing.deadLettered(Failing)).toMatchObject([{ reason: 'failed', attempts: 5 }]);
    expect(eventing.clock.now() - begin).toBeGreaterThanOrEqual(120_000);
    expect(eventing.clock.now() - begin).toBeLessThan(150_000);
  });

  it('moves the clock to when an event is due, and no further than the horizon', async () => {
    @EventListener(OrderPlaced)
    class Later {
      on(): void {}
    }
    const eventing = testEventing();
    const { events } = await start(eventing, [Later]);
    const begin = eventing.clock.now();
    await events.sendEvent(OrderPlaced, { orderId: '1' }, { notBefore: begin + HOUR - 1 });
    await eventing.settled();
    expect(eventing.clock.now()).toBe(begin + HOUR - 1);
    const due = begin + 4 * HOUR;
    await events.sendEvent(OrderPlaced, { orderId: '2' }, { notBefore: due });
    const error = await failure(eventing.settled());
    expect(error).toMatchObject({ code: 'EVT_NOT_SETTLED' });
    expect(error.message).toContain(new Date(due).toISOString());
    expect(eventing.clock.now()).toBe(begin + HOUR - 1);
    await eventing.settled({ horizon: 4 * HOUR });
    expect(eventing.handled(Later)).toHaveLength(2);
  });

  it('moves the clock for a listener that waits for it, and not for one that is merely slow', async () => {
    const eventing = testEventing();
    @EventListener(OrderPlaced)
    class Sleeper {
      async on(): Promise<void> {
        await new Promise<void>((resolve) => eventing.clock.setTimeout(resolve, 10_000));
      }
    }
    const { events } = await start(eventing, [Sleeper]);
    const begin = eventing.clock.now();
    await events.sendEvent(OrderPlaced, { orderId: '1' });
    await events.sendEvent(OrderPlaced, { orderId: '2' });
    await eventing.settled();
    expect(eventing.handled(Sleeper).map(({ attempts }) => attempts.length)).toEqual([1, 1]);
    expect(eventing.clock.now() - begin).toBe(10_000);
  });

  it('lets sends that wait for a broker run into their timeout', async () => {
    const eventing = testEventing();
    const { events } = await start(eventing, [], { publishTimeout: 5000 });
    eventing.faults.disconnect();
    const sending = failure(events.sendEvent(OrderPlaced, { orderId: '1' }));
    await eventing.settled();
    expect(await sending).toMatchObject({ code: 'EVT_PUBLISH_TIMEOUT' });
  });
});

describe('a module that never settles', () => {
  it('is told from one that does: a listener that does not return, named; nothing is lost, and its close does not hang', async () => {
    const gate = new Gate();
    const Stuck = stuck(gate);
    const eventing = testEventing({ timeout: 50 });
    const { events } = await start(eventing, [Stuck]);
    const { id } = await events.sendEvent(OrderPlaced, { orderId: '1' });
    const error = await failure(eventing.settled());
    expect(error).toMatchObject({ code: 'EVT_NOT_SETTLED' });
    expect(error.message).toContain(`Stuck of shop is at attempt 1 of "orders.placed" ${id}`);
    expect(eventing.delivered(Stuck)).toMatchObject([{ outcome: 'open', attempts: [{ outcome: 'running' }] }]);
    gate.open();
    await eventing.settled();
    expect(eventing.handled(Stuck)).toHaveLength(1);
  });

  it('comes to its end all the same where time is moved to the timeouts', async () => {
    const Stuck = stuck(new Gate());
    const eventing = testEventing({ timeout: 50 });
    const { events } = await start(eventing, [Stuck]);
    await events.sendEvent(OrderPlaced, { orderId: '1' });
    await eventing.clock.advance(2 * 91_000);
    await eventing.settled();
    expect(eventing.deadLettered(Stuck)).toMatchObject([{ error: { code: 'EVT_LISTENER_TIMEOUT' }, attempts: 2 }]);
    expect(eventing.delivered(Stuck)[0]?.attempts.map(({ outcome }) => outcome)).toEqual(['running', 'running']);
  });

  it('goes on by itself from where an attempt was given up', async () => {
    @EventListener(OrderPlaced, { retry: { attempts: 2, delay: 5000 } })
    class OnceStuck {
      on(_event: OrderPlaced, { attempt }: Envelope): Promise<void> | void {
        if (attempt === 1) return new Gate().promise;
      }
    }
    const eventing = testEventing();
    const { events } = await start(eventing, [OnceStuck]);
    await events.sendEvent(OrderPlaced, { orderId: '1' });
    await eventing.clock.advance(60_001);
    await expect(eventing.settled({ timeout: 30 })).rejects.toThrow(/is at attempt 1/);
    await eventing.clock.advance(30_000);
    await eventing.settled();
    expect(eventing.handled(OnceStuck)[0]?.attempts.map(({ outcome }) => outcome)).toEqual(['running', 'succeeded']);
  });

  it('may be closed while a listener does not return', async () => {
    const eventing = testEventing({ timeout: 20 });
    const { module, events } = await start(eventing, [stuck(new Gate())]);
    await events.sendEvent(OrderPlaced, { orderId: '1' });
    await expect(eventing.settled()).rejects.toMatchObject({ code: 'EVT_NOT_SETTLED' });
    const began = performance.now();
    await module.close();
    expect(performance.now() - began).toBeLessThan(5000);
    await expect(eventing.settled()).rejects.toMatchObject({ code: 'EVT_NOT_RUNNING' });
  });

  it('is stopped where events cause each other for ever, and can be closed', async () => {
    @Injectable()
    class PingPong {
      constructor(private readonly events: EventManager) {}
      @EventListener(OrderPlaced)
      async ping({ orderId }: OrderPlaced): Promise<void> {
        await this.events.sendEvent(ReceiptSent, { orderId });
      }
      @EventListener(ReceiptSent)
      async pong({ orderId }: ReceiptSent): Promise<void> {
        await this.events.sendEvent(OrderPlaced, { orderId });
      }
    }
    const eventing = testEventing({ limit: 200 });
    const { module, events } = await start(eventing, [PingPong]);
    await events.sendEvent(OrderPlaced, { orderId: '1' });
    const error = await failure(eventing.settled());
    expect(error).toMatchObject({ code: 'EVT_NOT_SETTLED' });
    expect(error.message).toMatch(/200 deliveries.*for ever/);
    await module.close();
    expect(eventing.deadLettered()).toEqual([]);
  });

  it('is stopped by the real bound where each round takes its time', async () => {
    @EventListener(OrderPlaced)
    class Forever {
      constructor(private readonly events: EventManager) {}
      async on({ orderId }: OrderPlaced): Promise<void> {
        for (let turns = 0; turns < 50; turns++) await turn();
        void this.events.sendEvent(OrderPlaced, { orderId });
      }
    }
    const eventing = testEventing({ timeout: 100 });
    const { events } = await start(eventing, [Forever]);
    await events.sendEvent(OrderPlaced, { orderId: '1' });
    await expect(eventing.settled()).rejects.toMatchObject({ code: 'EVT_NOT_SETTLED' });
  });

  it('is told of what keeps its events: a broker that was told not to deliver', async () => {
    @EventListener(OrderPlaced)
    class Waiting {
      on(_event: OrderPlaced, _envelope: Envelope): void {}
    }
    const eventing = testEventing({ timeout: 30 });
    const { events } = await start(eventing, [Waiting]);
    eventing.faults.pauseDelivery();
    await events.sendEvent(OrderPlaced, { orderId: '1' });
    const error = await failure(eventing.settled());
    expect(error.message).toContain('queue "orders::shop.Waiting": 1 waiting');
    eventing.faults.resumeDelivery();
    await eventing.settled();
    expect(eventing.handled(Waiting)).toHaveLength(1);
  });
});
