import { afterAll, beforeAll, describe, it } from 'vitest';
import { conformance, type ConformanceEnvironment } from 'nestjs-eventing/testing';
import { type ArtemisBroker, startOwnArtemis, type Unavailable } from '../brokers/brokers.js';
import { stompEnvironment, type StompLine } from './stomp.environment.js';

// The cases in which the broker is away, with a broker that really is: `stomp.int.spec.ts` only cuts the network.

let artemis: ArtemisBroker | Unavailable | undefined;

beforeAll(async () => {
  artemis = await startOwnArtemis();
}, 120_000);

afterAll(async () => {
  if (artemis?.available === true) await artemis.close();
});

describe('killed and restarted', () => {
  const only = ['readiness', 'reconnect', 'away-at-start', 'dead-letter-while-away', 'stop-while-away'];
  const line = { disconnect: () => broker().kill(), connect: () => broker().restart() };
  conformance({ describe, it }, environment(line, only), { only });
});

describe('stopped and continued', () => {
  const only = ['readiness', 'reconnect', 'away-too-long', 'publish-timeout', 'stop-while-away'];
  const line = { disconnect: () => broker().suspend(), connect: () => broker().resume() };
  conformance({ describe, it }, environment(line, only), { only });
});

function broker(): ArtemisBroker {
  if (artemis?.available !== true) throw new Error('There is no Artemis');
  return artemis;
}

/** Where there is no broker that may be killed, each case is skipped with the reason. */
function environment(line: StompLine, only: readonly string[]): ConformanceEnvironment {
  return {
    ...stompEnvironment(() => broker().access, line),
    get exceptions() {
      if (artemis?.available !== false) return {};
      const { reason } = artemis;
      return Object.fromEntries(only.map((id) => [id, reason]));
    },
  };
}
