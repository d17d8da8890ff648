import { orReason } from '../installed.js';
import { missingPart, type Unavailable } from '../missing-parts.js';
import type { RabbitMqBroker } from './rabbitmq-broker.js';
import { dockerObstacle, startDockerRabbitMq } from './rabbitmq-docker.js';
import { environmentRabbitMq } from './rabbitmq-environment.js';
import { findRabbitMq } from './rabbitmq-installation.js';
import { startMachineRabbitMq } from './rabbitmq-machine.js';
import type { RabbitMqOptions } from './rabbitmq-options.js';

/** A RabbitMQ to publish to and consume from: the one that `RABBITMQ_URL` names, else one of our own. */
export async function acquireRabbitMq(options: RabbitMqOptions = {}): Promise<RabbitMqBroker | Unavailable> {
  return (await environmentRabbitMq()) ?? startOwnRabbitMq(options);
}

/** A RabbitMQ for one test alone, which may kill it: by this machine's binaries, else by its Docker engine. */
export async function startOwnRabbitMq(options: RabbitMqOptions = {}): Promise<RabbitMqBroker | Unavailable> {
  const broker = await orReason(() => startMachineRabbitMq(findRabbitMq(), options));
  if (typeof broker !== 'string') return broker;
  const obstacle = await dockerObstacle(options);
  if (!obstacle) return startDockerRabbitMq(options);
  return missingPart('rabbitmq', `${broker}; ${obstacle}`);
}
