import { type RabbitMqBroker, startOwnRabbitMq, writeQueuesDown } from '../brokers/brokers.js';
import { KILLED, withBrokenBroker } from './broken.broker.js';
import { rabbitEnvironment } from './rabbitmq.environment.js';

const alarm = async (broker: RabbitMqBroker, limit: string): Promise<void> =>
  void (await broker.control('set_vm_memory_high_watermark', limit));

withBrokenBroker(startOwnRabbitMq, (broker, line) => rabbitEnvironment(() => broker().access, line), {
  'killed and restarted': {
    only: KILLED,
    async disconnect(broker) {
      await writeQueuesDown(broker);
      await broker.kill();
    },
    connect: (broker) => broker.restart(),
  },
  'out of memory, as it says': {
    only: ['publish-timeout'],
    disconnect: (broker) => alarm(broker, '0'),
    connect: (broker) => alarm(broker, '0.9'),
  },
});
