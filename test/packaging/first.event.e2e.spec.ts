import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ScratchFolder } from '../brokers/scratch-folder.js';
import { type Fence, fences } from '../docs/pages.js';
import { command } from './command.js';
import { manifest, ROOT } from './manifest.js';
import { PackedPackage } from './packed.package.js';
import { registryIsAway } from './registry.js';

// What a reader of the README does, word for word: every command and every file is the page's own.

const SECTION = '## From nothing to the first event';
const away = await registryIsAway();

const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
const firstMinutes = await readFile(join(ROOT, 'docs/getting-started.md'), 'utf8');

/** The commands of a section's two blocks: before and after the reader saves a file. */
function commandsOf(page: string, title: string): string[][] {
  const section = page.split(`${title}\n`)[1]?.split('\n## ')[0] ?? '';
  return fences('README.md', section)
    .filter(({ language }) => language === 'sh')
    .map(({ code }) => code.split(/\n|&&/).map((line) => line.trim()))
    .map((lines) => lines.filter((line) => line !== ''));
}

/** The files of a page by name, as its fences name them. */
function filesOf(page: string): Map<string, Fence> {
  const named = fences('', page).map((fence) => [/^\/\/ file: (\S+)/.exec(fence.code)?.[1] ?? '', fence] as const);
  return new Map(named.filter(([name]) => name !== ''));
}

const printsOf = ({ code }: Fence): string[] =>
  [...code.matchAll(/^\/\/ prints: (.*)$/gm)].map(([, line = '']) => line);

/** A reader at a prompt, who has the packed package in the place of a published one. */
class Reader {
  constructor(
    private folder: string,
    private readonly tarball: string,
  ) {}

  /** @returns what the last of them printed */
  async types(commands: readonly string[]): Promise<string> {
    let printed = '';
    for (const line of commands) printed = await this.#type(line);
    return printed;
  }

  async saves(name: string, text: string): Promise<void> {
    await mkdir(join(this.folder, 'src'), { recursive: true });
    await writeFile(join(this.folder, 'src', name), text);
  }

  async #type(line: string): Promise<string> {
    const [program = '', ...words] = line.split(/\s+/).map((word) => (word === manifest.name ? this.tarball : word));
    if (program === 'cd') {
      this.folder = join(this.folder, words[0] ?? '');
      return '';
    }
    // The CLI of our own development dependencies, which npx would fetch anew.
    const isNest = program === 'npx' && words[0] === '@nestjs/cli';
    const [file, args] = isNest ? [join(ROOT, 'node_modules/.bin/nest'), words.slice(1)] : [program, words];
    return command(file, args, { cwd: this.folder, env: { npm_config_prefer_offline: 'true' } });
  }
}

describe.skipIf(away)('who follows the README', () => {
  let scratch: ScratchFolder;
  let reader: Reader;
  beforeAll(async () => {
    scratch = await ScratchFolder.create('first-event');
    const { tarball } = await PackedPackage.ready();
    reader = new Reader(scratch.path, tarball);
  }, 600_000);
  afterAll(() => scratch.remove());

  it('sees the first event handled in a new project', async () => {
    const [install = [], run = []] = commandsOf(readme, SECTION);
    const name = /`src\/([\w.-]+\.ts)`/.exec(readme.split(SECTION)[1] ?? '')?.[1] ?? '';
    const program = filesOf(readme).get(name);
    expect([install.length, run.length, program]).toEqual([3, 2, expect.anything()]);
    await reader.types(install);
    await reader.saves(name, program?.code ?? '');
    const printed = await reader.types(run);
    for (const line of printsOf(program as Fence)) expect(printed).toContain(line);
  }, 600_000);

  it('goes on with the first ten minutes', async () => {
    const files = filesOf(firstMinutes);
    for (const [name, { code }] of files) await reader.saves(name, code);
    await reader.types(['npm run build']);
    const programs = [...files].filter(([name, fence]) => name.endsWith('.main.ts') && printsOf(fence).length > 0);
    expect(programs.length).toBeGreaterThan(1);
    for (const [name, fence] of programs) {
      const printed = await reader.types([`node dist/${name.replace(/\.ts$/, '.js')}`]);
      for (const line of printsOf(fence)) expect(printed).toContain(line);
    }
  }, 600_000);
});
