import type { ArtemisBroker } from './artemis-broker.js';
import type { ArtemisInstallation } from './artemis-installation.js';
import { closeConnections, manage } from './artemis-management.js';
import type { ArtemisOptions } from './artemis-options.js';
import { ArtemisServer } from './artemis-server.js';

/** A broker as a Java process of this machine. */
export async function startJavaArtemis(
  installation: ArtemisInstallation,
  options: ArtemisOptions,
): Promise<ArtemisBroker> {
  const server = await ArtemisServer.start(installation, options);
  const { access } = server;
  return {
    available: true,
    source: 'machine',
    owned: true,
    access,
    control: (resource, operation, ...args) => manage(access, resource, operation, args),
    closeConnections: () => closeConnections(access),
    kill: () => server.kill(),
    stop: () => server.stop(),
    restart: () => server.restart(),
    wipe: () => server.wipe(),
    suspend: () => server.suspend(),
    resume: async () => server.resume(),
    close: () => server.close(),
  };
}
