import { randomUUID } from 'node:crypto';
import { type Envelope, Event, EventingRuntime, type EventingOptions, resolveOptions } from 'nestjs-eventing';
import { amqp } from 'nestjs-eventing/amqp';
import { stomp } from 'nestjs-eventing/stomp';
import { afterEach, describe, expect, inject, it } from 'vitest';

const artemis = inject('artemis');

/** What has to arrive. By AMQP, Artemis shows STOMP's own headers as well, and its own time. */
function said(n: number, { key, id, headers, correlationId }: Envelope): unknown {
  return { n, key, id, session: headers.get('session'), correlationId };
}

describe.skipIf(artemis?.stompPort === undefined)('STOMP and AMQP on one Artemis', () => {
  const runtimes: EventingRuntime[] = [];
  afterEach(async () => {
    await Promise.all(runtimes.splice(0).map((runtime) => runtime.stop()));
  });

  const { host = '', port = 0, stompPort = 0, username = '', password = '' } = artemis ?? {};
  const providers: Record<string, () => NonNullable<EventingOptions['provider']>> = {
    stomp: () => stomp({ host, port: stompPort, username, password }),
    amqp: () => amqp({ host, port, username, password }),
  };

  it.each([
    ['stomp', 'amqp'],
    ['amqp', 'stomp'],
  ])('what is sent by %s is handled by %s, with its key, ids and headers', async (from, to) => {
    const channel = `c-${randomUUID()}`;
    @Event({ name: 'orders.placed', channel, key: 'orderId' })
    class OrderPlaced {
      orderId!: string;
      n!: number;
    }
    const got: unknown[] = [];
    const start = async (service: string, kind: string, listens: boolean): Promise<EventingRuntime> => {
      const provider = providers[kind]?.();
      if (provider === undefined) throw new Error(kind);
      const logger = { log: () => undefined, warn: () => undefined, debug: () => undefined, error: console.error };
      const runtime = new EventingRuntime(resolveOptions({ service, provider, logger }, logger), (registry) => ({
        pipelines: [],
        problems: [],
        listeners: listens
          ? [
              {
                label: 'Receipt',
                events: [registry.describe(OrderPlaced)],
                options: {},
                invoke: async (event, envelope) => {
                  const { n } = event as OrderPlaced;
                  got.push(said(n, envelope));
                },
              },
            ]
          : [],
      }));
      runtimes.push(runtime);
      await runtime.start();
      return runtime;
    };
    const shop = `shop-${randomUUID()}`;
    const listener = await start(shop, to, true);
    const sender = await start(`sender-${randomUUID()}`, from, false);
    const sent: unknown[] = [];
    const send = async (n: number): Promise<void> => {
      const body = Object.assign(new OrderPlaced(), { orderId: `k${n % 3}`, n });
      const envelope = await sender.events.sendEvent(body, { headers: { session: `grüße: ${n}` } });
      sent.push(said(n, envelope));
    };
    for (let n = 0; n < 20; n++) await send(n);
    await expect.poll(() => got.length, { timeout: 120_000 }).toBe(20);
    // The queue keeps what comes by the other protocol while its listener is away.
    await listener.stop();
    for (let n = 20; n < 30; n++) await send(n);
    await start(shop, to, true);
    await expect.poll(() => got.length, { timeout: 120_000 }).toBe(30);
    expect(got).toEqual(sent);
  });
});
