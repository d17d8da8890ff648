import { ADMINISTRATOR, clientUrl } from '../credentials.js';
import { composeImage, engineObstacle, startContainer } from '../docker-container.js';
import { freePorts } from '../free-ports.js';
import { ScratchFolder } from '../scratch-folder.js';
import type { ArtemisBroker } from './artemis-broker.js';
import { artemisVersion, closeConnections, manage } from './artemis-management.js';
import type { ArtemisOptions } from './artemis-options.js';

/** Why no broker can be run by Docker here, or undefined if one can. */
export async function dockerObstacle(options: ArtemisOptions): Promise<string | undefined> {
  const { tls, users, addressSettings, settings, idleTimeout } = options;
  if (tls || users || addressSettings || settings || idleTimeout)
    return 'the Docker image is run with its own configuration';
  return engineObstacle();
}

export async function startDockerArtemis(options: ArtemisOptions): Promise<ArtemisBroker> {
  const [free = 0, stompPort = 0] = await freePorts(2);
  const at = { host: '127.0.0.1', port: options.port ?? free, ...ADMINISTRATOR };
  const broker = await startContainer({
    name: `nestjs-eventing-artemis-${at.port}`,
    folder: await ScratchFolder.create('artemis'),
    image: composeImage('apache/artemis'),
    options: [
      ...['-p', `127.0.0.1:${at.port}:5672`, '-p', `127.0.0.1:${stompPort}:61613`],
      ...['-e', `ARTEMIS_USER=${at.username}`, '-e', `ARTEMIS_PASSWORD=${at.password}`],
    ],
    probe: () => artemisVersion(at),
  });
  return {
    ...broker,
    access: { ...at, stompPort, url: clientUrl('amqp', at), version: await artemisVersion(at) },
    control: (resource, operation, ...args) => manage(at, resource, operation, args),
    closeConnections: () => closeConnections(at),
  };
}
