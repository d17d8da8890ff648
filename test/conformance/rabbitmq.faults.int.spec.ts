import { afterAll, beforeAll, describe, it } from 'vitest';
import { conformance, type ConformanceEnvironment } from 'nestjs-eventing/testing';
import { type RabbitMqBroker, startOwnRabbitMq, type Unavailable, writeQueuesDown } from '../brokers/brokers.js';
import { rabbitEnvironment, type RabbitLine } from './rabbitmq.environment.js';

// The cases in which the broker is away, with a broker that really is: `rabbitmq.int.spec.ts` only cuts the network.

let rabbit: RabbitMqBroker | Unavailable | undefined;

beforeAll(async () => {
  rabbit = await startOwnRabbitMq();
}, 120_000);

afterAll(async () => {
  if (rabbit?.available === true) await rabbit.close();
});

describe('killed and restarted', () => {
  const only = ['readiness', 'reconnect', 'away-at-start', 'dead-letter-while-away', 'stop-while-away'];
  const line = {
    async disconnect() {
      await writeQueuesDown(broker());
      await broker().kill();
    },
    connect: () => broker().restart(),
  };
  conformance({ describe, it }, environment(line, only), { only });
});

describe('stopped and continued', () => {
  const only = ['readiness', 'reconnect', 'away-too-long', 'publish-timeout', 'stop-while-away'];
  const line = { disconnect: () => broker().suspend(), connect: () => broker().resume() };
  conformance({ describe, it }, environment(line, only), { only });
});

describe('out of memory, as it says', () => {
  const only = ['publish-timeout'];
  const alarm = (limit: string) =>
    broker()
      .control('set_vm_memory_high_watermark', limit)
      .then(() => undefined);
  conformance({ describe, it }, environment({ disconnect: () => alarm('0'), connect: () => alarm('0.9') }, only), {
    only,
  });
});

function broker(): RabbitMqBroker {
  if (rabbit?.available !== true) throw new Error('There is no RabbitMQ');
  return rabbit;
}

/** Where there is no broker that may be killed, each case is skipped with the reason. */
function environment(line: RabbitLine, only: readonly string[]): ConformanceEnvironment {
  return {
    ...rabbitEnvironment(() => broker().access, line),
    get exceptions() {
      if (rabbit?.available !== false) return {};
      const { reason } = rabbit;
      return Object.fromEntries(only.map((id) => [id, reason]));
    },
  };
}
