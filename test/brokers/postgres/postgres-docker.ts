import { composeImage, startContainer } from '../docker-container.js';
import { freePorts } from '../free-ports.js';
import { ScratchFolder } from '../scratch-folder.js';
import type { PostgresBroker } from './postgres-broker.js';
import { accessTo } from './postgres-machine.js';
import type { PostgresServerOptions } from './postgres-options.js';
import { postgresVersion } from './postgres-probe.js';

export async function startDockerPostgres(options: PostgresServerOptions): Promise<PostgresBroker> {
  const [free = 0] = await freePorts(1);
  const port = options.port ?? free;
  const folder = await ScratchFolder.create('postgres');
  const access = accessTo(port);
  const settings = Object.entries(options.settings ?? {}).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const broker = await startContainer({
    name: `nestjs-eventing-postgres-${port}`,
    folder,
    image: composeImage('postgres'),
    options: [
      ...['-p', `127.0.0.1:${port}:5432`],
      ...['-e', `POSTGRES_USER=${access.user}`, '-e', `POSTGRES_PASSWORD=${access.password}`],
      ...['-e', `POSTGRES_DB=${access.database}`],
    ],
    command: ['postgres', ...settings],
    probe: () => postgresVersion(access),
  });
  return { ...broker, access: { ...access, version: await postgresVersion(access) } };
}
