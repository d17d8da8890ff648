import { engineObstacle } from '../docker-container.js';
import { orReason } from '../installed.js';
import { missingPart, type Unavailable } from '../missing-parts.js';
import type { PostgresBroker } from './postgres-broker.js';
import { startDockerPostgres } from './postgres-docker.js';
import { environmentPostgres } from './postgres-environment.js';
import { findPostgres } from './postgres-installation.js';
import { startMachinePostgres } from './postgres-machine.js';
import type { PostgresServerOptions } from './postgres-options.js';

/** A PostgreSQL to use: the one that `POSTGRES_URL` names, else one of our own. */
export async function acquirePostgres(options: PostgresServerOptions = {}): Promise<PostgresBroker | Unavailable> {
  return (await environmentPostgres()) ?? startOwnPostgres(options);
}

/** A PostgreSQL for one test alone, which may kill it: by this machine's binaries, else by its Docker engine. */
export async function startOwnPostgres(options: PostgresServerOptions = {}): Promise<PostgresBroker | Unavailable> {
  const broker = await orReason(() => startMachinePostgres(findPostgres(), options));
  if (typeof broker !== 'string') return broker;
  const obstacle = await engineObstacle();
  if (!obstacle) return startDockerPostgres(options);
  return missingPart('postgres', `${broker}; ${obstacle}`);
}
