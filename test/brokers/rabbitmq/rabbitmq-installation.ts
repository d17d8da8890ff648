import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { InstallationError } from '../broker.errors.js';
import { PLUGINS } from './rabbitmq-config.js';

/** What is needed to run a node as a process of ours. */
export interface RabbitMqInstallation {
  readonly version: string;
  readonly server: string;
  readonly control: string;
  /** Erlang's port mapper. */
  readonly epmd: string;
  readonly plugins: readonly string[];
}

/** Where packages put RabbitMQ's own scripts. Debian has other ones on the path, for its system service only. */
const USUAL_FOLDERS = ['/usr/lib/rabbitmq/bin', '/opt/homebrew/opt/rabbitmq/sbin', '/usr/local/opt/rabbitmq/sbin'];

/** Finds RabbitMQ on this machine. Throws an InstallationError if it has none. */
export function findRabbitMq(): RabbitMqInstallation {
  const path = (process.env['PATH'] ?? '').split(delimiter).filter(Boolean);
  const home = process.env['RABBITMQ_HOME'];
  const candidates = [...(home ? [join(home, 'sbin')] : []), ...path, ...USUAL_FOLDERS];
  const scripts = candidates.find((folder) =>
    // Only RabbitMQ's own scripts have this one beside them; others change the user, or the node's name.
    ['rabbitmq-env', 'rabbitmq-server', 'rabbitmqctl'].every((name) => existsSync(join(folder, name))),
  );
  if (!scripts) throw new InstallationError('this machine has no RabbitMQ');
  const epmd = findEpmd(path);
  if (!epmd) throw new InstallationError('RabbitMQ needs epmd, which comes with Erlang, on the path');

  const pluginFolder = join(dirname(realpathSync(join(scripts, 'rabbitmq-env'))), '../plugins');
  const plugins = readdirSync(pluginFolder);
  const version = plugins.map((name) => /^rabbit-(\d[^-]*?)(?:\.ez)?$/.exec(name)?.[1]).find(Boolean);
  if (!version) throw new InstallationError(`${pluginFolder} does not tell RabbitMQ's version`);
  return {
    version,
    server: join(scripts, 'rabbitmq-server'),
    control: join(scripts, 'rabbitmqctl'),
    epmd,
    plugins: PLUGINS.filter((name) => plugins.some((file) => file.startsWith(`${name}-`))),
  };
}

function findEpmd(path: readonly string[]): string | undefined {
  const erl = path.map((folder) => join(folder, 'erl')).find((file) => existsSync(file));
  const beside = erl ? [dirname(realpathSync(erl))] : [];
  return [...path, ...beside].map((folder) => join(folder, 'epmd')).find((file) => existsSync(file));
}
