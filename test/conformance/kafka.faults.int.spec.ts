import { afterAll, beforeAll, describe, it } from 'vitest';
import { conformance, type ConformanceEnvironment } from 'nestjs-eventing/testing';
import { type KafkaBroker, startOwnKafka, type Unavailable } from '../brokers/brokers.js';
import { kafkaEnvironment, type KafkaLine } from './kafka.environment.js';

// The cases in which the broker is away, with a broker that really is: `kafka.int.spec.ts` only cuts the network.

let kafka: KafkaBroker | Unavailable | undefined;

beforeAll(async () => {
  kafka = await startOwnKafka();
}, 120_000);

afterAll(async () => {
  if (kafka?.available === true) await kafka.close();
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

function broker(): KafkaBroker {
  if (kafka?.available !== true) throw new Error('There is no Kafka');
  return kafka;
}

/** Where there is no broker that may be killed, each case is skipped with the reason. */
function environment(line: KafkaLine, only: readonly string[]): ConformanceEnvironment {
  return {
    ...kafkaEnvironment(() => broker().access.brokers, line),
    get exceptions() {
      if (kafka?.available !== false) return {};
      const { reason } = kafka;
      return Object.fromEntries(only.map((id) => [id, reason]));
    },
  };
}
