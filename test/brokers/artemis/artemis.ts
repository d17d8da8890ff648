import { orReason } from '../installed.js';
import { missingPart, type Unavailable } from '../missing-parts.js';
import type { ArtemisBroker } from './artemis-broker.js';
import { dockerObstacle, startDockerArtemis } from './artemis-docker.js';
import { environmentArtemis } from './artemis-environment.js';
import { installArtemis } from './artemis-installation.js';
import { startJavaArtemis } from './artemis-java.js';
import type { ArtemisOptions } from './artemis-options.js';

/** An Artemis to send to and receive from: the one that `ARTEMIS_URL` names, else one of our own. */
export async function acquireArtemis(options: ArtemisOptions = {}): Promise<ArtemisBroker | Unavailable> {
  return (await environmentArtemis()) ?? startOwnArtemis(options);
}

/** An Artemis for one test alone, which may kill it: by this machine's Java, else by its Docker engine. */
export async function startOwnArtemis(options: ArtemisOptions = {}): Promise<ArtemisBroker | Unavailable> {
  const installation = await orReason(installArtemis);
  if (typeof installation !== 'string') return startJavaArtemis(installation, options);
  const obstacle = await dockerObstacle(options);
  if (!obstacle) return startDockerArtemis(options);
  return missingPart('artemis', `${installation}; ${obstacle}`);
}
