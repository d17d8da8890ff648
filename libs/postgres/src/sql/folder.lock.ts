import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EventingError } from 'nestjs-eventing';

const LOCK = /^lock-[0-9a-f]+\.sock$/;
/** What an address of a socket in the file system may have, on every system. */
const LONGEST_PATH = 100;
/** Two that begin at one moment see each other and both step back. */
const ATTEMPTS = 4;

/**
 * Keeps a second process, or a second provider of this one, out of a folder. The lock is a socket that listens: the system closes it with
 * the process, however that ends, so that no process id is ever mistaken for another, and a suspended process keeps it.
 */
export class FolderLock {
  private constructor(
    private readonly server: Server,
    private readonly path: string,
  ) {}

  /** Creates the folder if need be. Throws EVT_FOLDER_LOCKED where somebody else has it. */
  static async take(folder: string): Promise<FolderLock> {
    await mkdir(folder, { recursive: true });
    for (let attempt = 1; ; attempt++) {
      const name = `lock-${randomBytes(6).toString('hex')}.sock`;
      const path = join(folder, name);
      if (Buffer.byteLength(path) > LONGEST_PATH)
        throw new EventingError(
          'EVT_INVALID_OPTIONS',
          `\`dataDir\` is too long for a lock in it: ${folder}. Its path may have ${LONGEST_PATH - name.length - 1} bytes.`,
        );
      const lock = new FolderLock(await listening(path), path);
      const holder = await otherHolder(folder, name);
      if (holder === undefined) return lock;
      await lock.release();
      if (attempt === ATTEMPTS)
        throw new EventingError(
          'EVT_FOLDER_LOCKED',
          `The folder ${folder} is open in another process or provider (${holder}). Two would destroy it: ` +
            'end the other one, give this one another `dataDir`, or let both use one postgres().',
        );
      await sleep(50 + Math.random() * 150);
    }
  }

  async release(): Promise<void> {
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
    await rm(this.path, { force: true });
  }
}

/** The lock of somebody who is alive. Those of the dead are taken away: their names are used by nobody else. */
async function otherHolder(folder: string, own: string): Promise<string | undefined> {
  for (const name of await readdir(folder)) {
    if (!LOCK.test(name) || name === own) continue;
    const path = join(folder, name);
    if (await answers(path)) return name;
    await rm(path, { force: true });
  }
  return undefined;
}

function listening(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', reject);
    server.listen(path, () => resolve(server));
    // A lock is no reason to stay alive.
    server.unref();
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
