import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { InstallationError } from '../broker.errors.js';
import { type Account, serverAccount } from './server-account.js';

/** What is needed to run a server as a process of ours. */
export interface PostgresInstallation {
  readonly server: string;
  readonly initdb: string;
  /** Whom it is to run as; undefined: as ourselves. */
  readonly account: Account | undefined;
}

/** Where packages put the servers of several versions, the newest first. */
const PACKAGES = ['/usr/lib/postgresql', '/opt/homebrew/opt', '/usr/local/opt'];

/** Finds PostgreSQL on this machine. Throws an InstallationError if it has none that may be run. */
export function findPostgres(): PostgresInstallation {
  const path = (process.env['PATH'] ?? '').split(delimiter).filter(Boolean);
  const folders = [...path.map(behindLink), ...PACKAGES.flatMap(versionsIn)];
  const bin = folders.find((folder) => ['postgres', 'initdb'].every((name) => existsSync(join(folder, name))));
  if (!bin) throw new InstallationError('this machine has no PostgreSQL server (postgres and initdb)');
  return { server: join(bin, 'postgres'), initdb: join(bin, 'initdb'), account: serverAccount() };
}

/** A link on the path may lead to the server alone; initdb is beside what it leads to. */
function behindLink(folder: string): string {
  const server = join(folder, 'postgres');
  return existsSync(server) ? dirname(realpathSync(server)) : folder;
}

function versionsIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const versions = readdirSync(folder).filter((name) => /^(?:postgresql@)?\d+$/.test(name));
  versions.sort((a, b) => Number(/\d+$/.exec(b)?.[0]) - Number(/\d+$/.exec(a)?.[0]));
  return versions.map((name) => join(folder, name, 'bin'));
}
