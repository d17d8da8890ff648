import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { transpileModule, ModuleKind, ScriptTarget } from 'typescript';
import { expect, it } from 'vitest';
import { repositoryRoot } from './repository-root.js';
import { ScratchFolder } from './scratch-folder.js';

/** Starts what a broker is made of, and says where. */
const TESTS = `
  import { join } from 'node:path';
  import { OwnedProcess } from './owned-process.js';
  import { ScratchFolder } from './scratch-folder.js';
  const folder = await ScratchFolder.create('orphan');
  const start = (name) => OwnedProcess.spawn({
    command: 'sleep', args: ['60'], folder: folder.path,
    logFile: join(folder.path, 'log'), pidFile: join(folder.path, name + '.pid'),
  });
  console.log(JSON.stringify({ path: folder.path, pids: [start('broker').pid, start('epmd').pid] }));
  setInterval(() => {}, 1000);
`;

it('does not outlive the tests, nor does what runs in it, when they are killed', async ({ onTestFinished }) => {
  const home = await ScratchFolder.create('parent');
  onTestFinished(() => home.remove());
  await writeFile(join(home.path, 'package.json'), '{ "type": "module" }');
  for (const name of ['owned-process', 'process-table', 'scratch-folder']) await compile(name, home.path);
  await writeFile(join(home.path, 'tests.js'), TESTS);
  const tests = spawn(process.execPath, [join(home.path, 'tests.js')], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void tests.kill('SIGKILL'));
  const [said] = (await once(tests.stdout, 'data', { signal: AbortSignal.timeout(10_000) })) as [Buffer];
  const { path, pids } = JSON.parse(said.toString()) as { path: string; pids: number[] };
  expect([existsSync(path), ...pids.map(isAlive)]).toEqual([true, true, true]);

  tests.kill('SIGKILL');
  const remains = () => [existsSync(path), ...pids.map(isAlive)];
  // A killed process is there until init has taken note.
  for (let waited = 0; remains().includes(true) && waited < 5_000; waited += 20) await sleep(20);
  expect(remains()).toEqual([false, false, false]);
});

async function compile(name: string, to: string): Promise<void> {
  const source = readFileSync(join(repositoryRoot(), 'test/brokers', `${name}.ts`), 'utf8');
  const options = { module: ModuleKind.ESNext, target: ScriptTarget.ES2022, verbatimModuleSyntax: true };
  await writeFile(join(to, `${name}.js`), transpileModule(source, { compilerOptions: options }).outputText);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
