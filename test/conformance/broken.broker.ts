import { afterAll, beforeAll, describe, it } from 'vitest';
import { conformance, type ConformanceEnvironment, type TestRunner } from 'nestjs-eventing/testing';
import type { Broker as OwnBroker, Unavailable } from '../brokers/brokers.js';

/** How a broker goes away for everybody, and comes back. */
export interface BrokerLine {
  disconnect(): Promise<void>;
  connect(): Promise<void>;
}

export interface WayToBreak<Broker> {
  /** Ids of the cases in which the broker is away. */
  readonly only: readonly string[];
  disconnect(broker: Broker): Promise<void>;
  connect(broker: Broker): Promise<void>;
}

/** Cases that ask for a broker that comes back, as it was. */
export const KILLED = ['readiness', 'reconnect', 'away-at-start', 'dead-letter-while-away', 'stop-while-away'];
const STOPPED = ['readiness', 'reconnect', 'away-too-long', 'publish-timeout', 'stop-while-away'];

/**
 * The cases in which the broker is away, with a broker that really is, where the other suites only cut the network. Each way to break it has a
 * broker of its own, and its cases take turns; the ways go side by side.
 */
export function withBrokenBroker<Broker extends OwnBroker>(
  start: () => Promise<Broker | Unavailable>,
  environmentOf: (broker: () => Broker, line: BrokerLine) => ConformanceEnvironment,
  more: Readonly<Record<string, WayToBreak<Broker>>> = {},
): void {
  const ways: Record<string, WayToBreak<Broker>> = {
    'killed and restarted': {
      only: KILLED,
      disconnect: (broker) => broker.kill(),
      connect: (broker) => broker.restart(),
    },
    'stopped and continued': {
      only: STOPPED,
      disconnect: (broker) => broker.suspend(),
      connect: (broker) => broker.resume(),
    },
    ...more,
  };
  for (const [name, way] of Object.entries(ways))
    describe.concurrent(name, () => {
      let had: Broker | Unavailable | undefined;
      beforeAll(async () => {
        had = await start();
      }, 300_000);
      afterAll(async () => {
        if (had?.available === true) await had.close();
      });
      const broker = (): Broker => {
        if (had?.available !== true) throw new Error('There is no broker to break.');
        return had;
      };
      const line = { disconnect: () => way.disconnect(broker()), connect: () => way.connect(broker()) };
      const environment = {
        ...environmentOf(broker, line),
        get exceptions() {
          if (had?.available !== false) return {};
          const { reason } = had;
          return Object.fromEntries(way.only.map((id) => [id, reason]));
        },
      };
      conformance({ describe, it: inTurn(it.concurrent) }, environment, { only: way.only });
    });
}

/** One at a time, although the tests around are concurrent. */
function inTurn(declare: TestRunner['it']): TestRunner['it'] {
  let last: Promise<unknown> = Promise.resolve();
  return (name, body, limit) =>
    declare(
      name,
      async (...given) => {
        const turn = last.then(() => body(...given));
        last = turn.catch(() => undefined);
        await turn;
      },
      limit,
    );
}
