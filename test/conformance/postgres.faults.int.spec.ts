import { afterAll, beforeAll, describe, it } from 'vitest';
import { conformance, type ConformanceEnvironment } from 'nestjs-eventing/testing';
import { type PostgresBroker, startOwnPostgres, type Unavailable } from '../brokers/brokers.js';
import { postgresEnvironment, type PostgresLine } from './postgres.environment.js';

// The cases in which the server is away, with a server that really is: `postgres.int.spec.ts` only cuts the network.

let postgres: PostgresBroker | Unavailable | undefined;

beforeAll(async () => {
  postgres = await startOwnPostgres();
}, 120_000);

afterAll(async () => {
  if (postgres?.available === true) await postgres.close();
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

function broker(): PostgresBroker {
  if (postgres?.available !== true) throw new Error('There is no PostgreSQL');
  return postgres;
}

/** Where there is no server that may be killed, each case is skipped with the reason. */
function environment(line: PostgresLine, only: readonly string[]): ConformanceEnvironment {
  return {
    ...postgresEnvironment(() => broker().access, line),
    get exceptions() {
      if (postgres?.available !== false) return {};
      const { reason } = postgres;
      return Object.fromEntries(only.map((id) => [id, reason]));
    },
  };
}
