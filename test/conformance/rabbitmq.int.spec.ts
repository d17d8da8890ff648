import { describe, inject, it } from 'vitest';
import { conformance } from 'nestjs-eventing/testing';
import type { RabbitMqAccess } from '../brokers/brokers.js';
import { rabbitEnvironment } from './rabbitmq.environment.js';

const access = inject('rabbitmq');

describe.skipIf(access === undefined)('on a real RabbitMQ', () => {
  conformance(
    { describe, it: it.concurrent },
    rabbitEnvironment(() => access as RabbitMqAccess),
  );
});
