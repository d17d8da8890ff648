import { NotOwnedError } from '../broker.errors.js';
import { clientUrl } from '../credentials.js';
import { environmentPort, environmentUrl, foreignBroker, notAnswering } from '../foreign-broker.js';
import type { ArtemisBroker } from './artemis-broker.js';
import { artemisVersion } from './artemis-management.js';

const VARIABLE = 'ARTEMIS_URL';
const STARTER = 'startOwnArtemis';

/** The broker named by the environment, if there is one. Throws if it does not answer. */
export async function environmentArtemis(): Promise<ArtemisBroker | undefined> {
  const url = environmentUrl(VARIABLE);
  if (!url) return undefined;
  const at = {
    host: url.hostname,
    port: Number(url.port || 5672),
    // Those of the broker's image.
    username: decodeURIComponent(url.username) || 'artemis',
    password: decodeURIComponent(url.password) || 'artemis',
  };
  const version = await artemisVersion(at).catch((error: unknown) => {
    throw notAnswering(VARIABLE, error);
  });
  const refuse = (action: string) => () => Promise.reject(new NotOwnedError(action, VARIABLE, STARTER));
  return {
    ...foreignBroker(VARIABLE, STARTER),
    access: { ...at, url: clientUrl('amqp', at), stompPort: environmentPort('ARTEMIS_STOMP_PORT'), version },
    control: refuse('control'),
    closeConnections: refuse('close the connections of'),
  };
}
