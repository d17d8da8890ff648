import { describe, inject, it } from 'vitest';
import { conformance } from 'nestjs-eventing/testing';
import { kafkaEnvironment } from './kafka.environment.js';

const brokers = inject('kafkaBrokers');

describe.skipIf(brokers.length === 0)('on a real Kafka', () => {
  conformance(
    { describe, it: it.concurrent },
    kafkaEnvironment(() => brokers),
  );
});
