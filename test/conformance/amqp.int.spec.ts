import { describe, inject, it } from 'vitest';
import { conformance } from 'nestjs-eventing/testing';
import { amqpEnvironment } from './amqp.environment.js';

const artemis = inject('artemis');

describe.skipIf(!artemis)('on a real Artemis', () => {
  conformance(
    { describe, it: it.concurrent },
    amqpEnvironment(() => {
      if (!artemis) throw new Error('There is no Artemis');
      return artemis;
    }),
  );
});
