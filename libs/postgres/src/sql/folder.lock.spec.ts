import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FolderLock } from './folder.lock.js';

const LOCKED = expect.objectContaining({ code: 'EVT_FOLDER_LOCKED' }) as Error;

describe('the lock of a folder', () => {
  let folder: string;
  beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'evt-lock-'))));
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('is had by one at a time, and free after it was released', async () => {
    const first = await FolderLock.take(join(folder, 'new'));
    await expect(FolderLock.take(join(folder, 'new'))).rejects.toThrow(LOCKED);
    await first.release();
    const second = await FolderLock.take(join(folder, 'new'));
    await second.release();
    expect(await readdir(join(folder, 'new'))).toEqual([]);
  });

  it('is never had by two of many that begin at one time', async () => {
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => FolderLock.take(folder)));
    const had = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    expect(had.length).toBeLessThanOrEqual(1);
    await Promise.all(had.map((lock) => lock.release()));
  });

  it.each(['SIGKILL', 'SIGSTOP'] as const)('of a process that got %s', async (signal) => {
    const path = join(folder, 'lock-0123456789ab.sock');
    const program = `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log('ready'))`;
    const holder = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(holder.stdout, 'data');
    await expect(FolderLock.take(folder)).rejects.toThrow(LOCKED);
    holder.kill(signal);
    if (signal === 'SIGKILL') {
      await once(holder, 'exit');
      const lock = await FolderLock.take(folder);
      await lock.release();
      expect(await readdir(folder)).toEqual([]);
    } else {
      // It may go on at any moment.
      await expect(FolderLock.take(folder)).rejects.toThrow(LOCKED);
      holder.kill('SIGKILL');
      await once(holder, 'exit');
    }
  });

  it('refuses a path that is too long for it, and says so', async () => {
    await expect(FolderLock.take(join(folder, 'x'.repeat(120)))).rejects.toMatchObject({
      code: 'EVT_INVALID_OPTIONS',
      message: expect.stringContaining('`dataDir`') as string,
    });
  });
});
