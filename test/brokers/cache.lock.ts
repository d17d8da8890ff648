import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Runs `work` in one process at a time, so that two test workers do not download the same jars side by side. It only
 * saves work: whoever fills the cache must still do so by an atomic rename, since a lock whose holder died is taken over
 * and two waiters may, very rarely, both take it.
 */
export async function withLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  const claim = `${path}.${process.pid}`;
  await writeFile(claim, String(process.pid));
  try {
    // A link appears with its content, so that nobody ever reads a lock without its holder.
    while (!(await link(claim, path).then(() => true, isTaken))) {
      if (!(await holderLives(path))) await rm(path, { force: true });
      else await sleep(200);
    }
    try {
      return await work();
    } finally {
      await rm(path, { force: true });
    }
  } finally {
    await rm(claim, { force: true });
  }
}

function isTaken(error: NodeJS.ErrnoException): false {
  if (error.code !== 'EEXIST') throw error;
  return false;
}

async function holderLives(path: string): Promise<boolean> {
  const holder = Number(await readFile(path, 'utf8').catch(() => '0'));
  if (!holder) return false;
  try {
    process.kill(holder, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
