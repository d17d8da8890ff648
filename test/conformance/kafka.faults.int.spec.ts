import { afterAll, beforeAll, describe, it, type TestContext } from 'vitest';
import { conformance, type TestRunner } from 'nestjs-eventing/testing';
import { type KafkaBroker, startOwnKafka, type Unavailable } from '../brokers/brokers.js';
import { kafkaEnvironment, type KafkaLine } from './kafka.environment.js';

// The cases in which the broker is away, with a broker that really is: `kafka.int.spec.ts` only cuts the network.

let kafka: KafkaBroker | Unavailable | undefined;
const broker = (): KafkaBroker => {
  if (kafka?.available !== true) throw new Error('There is no Kafka');
  return kafka;
};
const brokers = (): readonly string[] => broker().access.brokers;

beforeAll(async () => {
  kafka = await startOwnKafka();
}, 120_000);

afterAll(async () => {
  if (kafka?.available === true) await kafka.close();
});

/** Skips each case, with the reason, where there is no broker that may be killed. */
const runner: TestRunner = {
  describe,
  it: (name, body, limit) =>
    it(
      name,
      async (context: TestContext) => {
        if (kafka?.available !== true) return context.skip(kafka?.reason);
        await body(context);
      },
      limit,
    ),
};

describe('killed and restarted', () => {
  const line: KafkaLine = { disconnect: () => broker().kill(), connect: () => broker().restart() };
  conformance(runner, kafkaEnvironment(brokers, line), {
    only: ['readiness', 'reconnect', 'away-at-start', 'dead-letter-while-away', 'stop-while-away'],
  });
});

describe('stopped and continued', () => {
  const line: KafkaLine = { disconnect: () => broker().suspend(), connect: () => broker().resume() };
  conformance(runner, kafkaEnvironment(brokers, line), {
    only: ['readiness', 'reconnect', 'away-too-long', 'publish-timeout', 'stop-while-away'],
  });
});
