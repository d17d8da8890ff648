import { onFreePorts } from '../broker-process.js';
import { ADMINISTRATOR } from '../credentials.js';
import { ScratchFolder } from '../scratch-folder.js';
import type { PostgresBroker } from './postgres-broker.js';
import type { PostgresInstallation } from './postgres-installation.js';
import type { PostgresAccess, PostgresServerOptions } from './postgres-options.js';
import { postgresVersion } from './postgres-probe.js';
import { PostgresServer } from './postgres-server.js';

/** A server as a process of this machine. */
export function startMachinePostgres(
  installation: PostgresInstallation,
  options: PostgresServerOptions,
): Promise<PostgresBroker> {
  return onFreePorts(1, options.port, async ([port = 0]) => {
    const folder = await ScratchFolder.create('postgres');
    const access = accessTo(port);
    const server = new PostgresServer(installation, { ...options, access, folder: folder.path });
    const close = async () => {
      await server.kill();
      await folder.remove();
    };
    try {
      await server.create();
      return {
        available: true,
        source: 'machine',
        owned: true,
        access: { ...access, version: await postgresVersion(access) },
        kill: () => server.kill(),
        stop: () => server.stop(),
        restart: () => server.restart(),
        wipe: () => server.wipe(),
        suspend: () => server.suspend(),
        resume: async () => server.resume(),
        close,
      };
    } catch (error) {
      await close();
      throw error;
    }
  });
}

/** How to reach a server of our own. */
export function accessTo(port: number): Omit<PostgresAccess, 'version'> {
  const { username: user, password } = ADMINISTRATOR;
  const at = { host: '127.0.0.1', port, user, password, database: 'postgres' };
  return { ...at, connectionString: `postgres://${user}:${password}@${at.host}:${port}/${at.database}` };
}
