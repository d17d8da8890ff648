import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { eventually } from '../../libs/testing/src/conformance/eventually.js';
import { OwnedProcess } from './owned-process.js';
import { ScratchFolder } from './scratch-folder.js';

/** Has something to do in more threads than most machines have processors, and says so when all of them are at it. */
const BUSY = `
  const { Worker } = require('node:worker_threads');
  const { writeSync } = require('node:fs');
  let online = 0;
  for (let count = 0; count < 16; count++)
    new Worker('for (;;);', { eval: true }).once('online', () => ++online === 16 && writeSync(1, 'busy'));
`;

it('is stopped in all its threads when it is suspended', async ({ skip, onTestFinished }) => {
  skip(!existsSync('/proc/self/task'), 'the system tells nothing of threads');
  const folder = await ScratchFolder.create('busy');
  onTestFinished(() => folder.remove());
  const logFile = join(folder.path, 'log');
  const busy = OwnedProcess.spawn({
    command: process.execPath,
    args: ['-e', BUSY],
    folder: folder.path,
    logFile,
    pidFile: join(folder.path, 'busy.pid'),
  });
  onTestFinished(() => busy.kill());
  await eventually('it is busy', () => readFileSync(logFile, 'utf8') === 'busy', 30_000);
  for (let round = 0; round < 20; round++) {
    await busy.suspend();
    const tasks = `/proc/${busy.pid}/task`;
    const states = readdirSync(tasks).map(
      (task) => /^State:\s+(\S)/m.exec(readFileSync(join(tasks, task, 'status'), 'utf8'))?.[1],
    );
    expect(new Set(states)).toEqual(new Set(['T']));
    busy.resume();
  }
});
