import { memory, MemoryBroker } from 'nestjs-eventing';
import type { ConformanceEnvironment } from 'nestjs-eventing/testing';

/** The in-memory provider, a broker for each case, with every fault that it can have. */
export function memoryEnvironment(patience = 30_000): ConformanceEnvironment {
  return {
    name: 'memory',
    patience,
    silence: 100,
    traits: {
      countsCrashes: true,
      repeatsBeyondGap: false,
      repeatsOnMove: false,
      windowCountsFromGap: true,
      movesSources: true,
    },
    async open() {
      const broker = new MemoryBroker();
      const { faults } = broker;
      return {
        provider: () => memory({ broker }),
        close: async () => faults.clear(),
        crash: (instance) => faults.crash(instance),
        disconnect: () => faults.disconnect(),
        connect: () => faults.connect(),
        makePublishFail: (channel) => faults.rejectNext(Infinity, (message) => message.channel === channel),
        makeDeadLettersFail() {
          faults.failDeadLetters(Infinity);
          return () => faults.clear();
        },
        remains: async () => broker.queues().map(({ name }) => name),
      };
    },
  };
}
