import { describe, inject, it } from 'vitest';
import { conformance } from 'nestjs-eventing/testing';
import { stompEnvironment } from './stomp.environment.js';

const artemis = inject('artemis');

describe.skipIf(artemis?.stompPort === undefined)('on a real Artemis', () => {
  conformance(
    { describe, it: it.concurrent },
    stompEnvironment(() => {
      if (artemis === undefined) throw new Error('There is no Artemis');
      return artemis;
    }),
  );
});
