import type { SystemName } from '../workers/worker.setup.js';
import { kafkaSystem } from './kafka.system.js';
import { postgresSystem } from './postgres.system.js';
import { rabbitmqSystem } from './rabbitmq.system.js';
import type { SystemStart } from './system.js';

export const SYSTEMS: Readonly<Record<SystemName, SystemStart>> = {
  postgres: postgresSystem,
  rabbitmq: rabbitmqSystem,
  kafka: kafkaSystem,
};

export const SYSTEM_NAMES = Object.keys(SYSTEMS) as readonly SystemName[];
