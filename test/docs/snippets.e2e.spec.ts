import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const root = process.cwd();

interface Snippet {
  readonly page: string;
  readonly file: string;
  readonly code: string;
  /** What it must print, where it says so with `// prints: …`. */
  readonly prints: readonly string[];
}

/** Every ```ts fence that begins with `// file: name.ts` is a whole file: it must compile, and print what it says. */
async function snippets(): Promise<Snippet[]> {
  const pages = ['README.md', ...(await markdown('docs'))];
  const found: Snippet[] = [];
  for (const page of pages) {
    const text = await readFile(join(root, page), 'utf8');
    for (const [, code = ''] of text.matchAll(/^```ts\n(\/\/ file: [\s\S]*?)^```$/gm)) {
      const file = /^\/\/ file: ([\w./-]+\.ts)/.exec(code)?.[1];
      if (file === undefined) throw new Error(`${page}: a snippet's file name cannot be read`);
      const prints = [...code.matchAll(/^\/\/ prints: (.*)$/gm)].map(([, line = '']) => line);
      found.push({ page, file, code, prints });
    }
  }
  return found;
}

async function markdown(folder: string): Promise<string[]> {
  const entries = await readdir(join(root, folder), { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.md'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
}

const found = await snippets();
let folder = '';
const folderOf = (snippet: Snippet): string => join(folder, snippet.page.replace(/\W+/g, '-').toLowerCase());

beforeAll(async () => {
  // Inside the repository, so that the package and its peers resolve as they do for a user.
  await mkdir(join(root, '.cache'), { recursive: true });
  folder = await mkdtemp(join(root, '.cache', 'snippets-'));
  for (const snippet of found) {
    const path = join(folderOf(snippet), snippet.file);
    await mkdir(join(path, '..'), { recursive: true });
    await writeFile(path, snippet.code);
  }
  const config = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: { rootDir: folder, outDir: join(folder, 'out'), paths: {} },
    include: [folder],
  };
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config));
  if (!existsSync(join(root, 'dist/libs/eventing/src/index.js'))) await run('npm', ['run', 'build'], { cwd: root });
}, 180_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

describe('the snippets of the documentation', () => {
  it('are there', () => {
    expect(found.map((snippet) => snippet.page)).toContain('README.md');
  });

  it('compile', async () => {
    const compiled = await run('npx', ['tsc', '-p', folder], { cwd: root }).catch((error: { stdout: string }) => error);
    expect(compiled.stdout).toBe('');
  }, 120_000);

  it.each(
    found
      .filter((snippet) => snippet.prints.length > 0)
      .map((snippet) => [snippet.page, snippet.file, snippet] as const),
  )(
    '%s: %s prints what it says',
    async (_page, _file, snippet) => {
      const path = join(folder, 'out', folderOf(snippet).slice(folder.length), snippet.file.replace(/\.ts$/, '.js'));
      const { stdout } = await run('node', [path], { cwd: folder, timeout: 60_000 });
      for (const line of snippet.prints) expect(stdout).toContain(line);
    },
    120_000,
  );
});
