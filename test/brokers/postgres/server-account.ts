import { readFileSync } from 'node:fs';
import { InstallationError } from '../broker.errors.js';

/** A user of this machine, by numbers. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** PostgreSQL refuses to run as root: then it runs as one of these, who may do less. */
const UNPRIVILEGED = ['postgres', 'nobody'];

/** Whom a server is to run as; undefined: as ourselves. */
export function serverAccount(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const name of UNPRIVILEGED) {
    const [, , uid, gid] = lines.find((line) => line.startsWith(`${name}:`))?.split(':') ?? [];
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new InstallationError('PostgreSQL does not run as root, and there is no user postgres or nobody');
}
