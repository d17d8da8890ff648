import { execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { ROOT } from './pages.js';
import type { Snippet } from './snippets.js';

const run = promisify(execFile);
const env = { ...process.env, NO_COLOR: '1' };

/** What the compiler or a program said. */
interface Said {
  readonly stdout: string;
  readonly stderr: string;
  readonly code?: number | string | null;
}

/**
 * Snippets as files of one project, compiled together with the package's sources into a folder of its own: what is tested is
 * what is there now, and whoever builds `dist` at the same time does not get in the way. The folder has the package's own
 * `package.json`, by which a snippet finds `nestjs-eventing` and its subpaths as its users do.
 */
export class SnippetProject {
  private constructor(
    private readonly folder: string,
    private readonly snippets: readonly Snippet[],
  ) {}

  static async write(snippets: readonly Snippet[]): Promise<SnippetProject> {
    // Inside the repository, so that the package's peers resolve.
    await mkdir(join(ROOT, '.cache'), { recursive: true });
    const folder = await mkdtemp(join(ROOT, '.cache', 'snippets-'));
    await copyFile(join(ROOT, 'package.json'), join(folder, 'package.json'));
    for (const { file, source } of snippets) {
      const path = join(folder, 'pages', file);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, source);
    }
    await copyFile(join(import.meta.dirname, 'in-turn.ts'), join(folder, 'pages/in-turn.ts'));
    const config = {
      extends: join(ROOT, 'tsconfig.json'),
      compilerOptions: { rootDir: ROOT, outDir: join(folder, 'dist'), sourceMap: false, declaration: false },
      include: ['pages', join(ROOT, 'libs/*/src/**/*.d.ts')],
    };
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config));
    return new SnippetProject(folder, snippets);
  }

  /** @returns the compiler's errors by page, each at its line of the page; empty where there are none */
  async compile(): Promise<Map<string, string[]>> {
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    const { stdout, stderr } = await said(run(process.execPath, [tsc, '-p', this.folder, '--pretty', 'false']));
    const errors = new Map<string, string[]>();
    // Lines that are indented go on with what is said before.
    for (const error of `${stdout}${stderr}`
      .trim()
      .split(/\n(?!\s)/)
      .filter((text) => text !== '')) {
      const [page, text] = this.#place(error);
      errors.set(page, [...(errors.get(page) ?? []), text]);
    }
    return errors;
  }

  /** Runs one in a process of its own. */
  run(snippet: Snippet): Promise<Said> {
    return said(run(process.execPath, [this.#compiled(snippet.file)], { cwd: this.folder, timeout: 300_000, env }));
  }

  /** Runs several in one process. @returns how each that came to its end has ended: well, or by an error */
  async runInTurn(snippets: readonly Snippet[]): Promise<Map<Snippet, string>> {
    const byUrl = new Map(snippets.map((snippet) => [pathToFileURL(this.#compiled(snippet.file)).href, snippet]));
    const child = fork(this.#compiled('in-turn.ts'), [...byUrl.keys()], {
      cwd: this.folder,
      timeout: 300_000,
      stdio: 'pipe',
      env,
    });
    let printed = '';
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => (printed += text));
    const ends = new Map<Snippet, string>();
    child.on('message', ({ program, error }: { program: string; error?: string }) =>
      ends.set(byUrl.get(program) as Snippet, error ?? 'well'),
    );
    await once(child, 'close');
    const cut = snippets.find((snippet) => !ends.has(snippet));
    if (cut !== undefined) ends.set(cut, `in the midst of it, and of those after it:\n${printed}`);
    return ends;
  }

  remove(): Promise<void> {
    return rm(this.folder, { recursive: true, force: true });
  }

  #compiled(file: string): string {
    return join(this.folder, 'dist', relative(ROOT, this.folder), 'pages', file.replace(/\.ts$/, '.js'));
  }

  /** Whose error it is, and the error as one of the page rather than of the file that was made of it. */
  #place(error: string): [page: string, text: string] {
    const [all = '', path = '', line = ''] = /^(.+?)\((\d+),\d+\)/.exec(error) ?? [];
    const snippet = this.snippets.find(({ file }) => path.endsWith(`pages/${file}`));
    if (snippet === undefined) return ['', error];
    const within = Number(line) - 1 - snippet.offset;
    const place =
      within >= 0 && within < snippet.length
        ? `${snippet.page}:${snippet.line + within}`
        : `${snippet.page}:${snippet.line}, line ${line} of what it is put into`;
    return [snippet.page, `${place}${error.slice(all.length)}`];
  }
}

/** A program that ends badly has said something too. */
async function said(running: Promise<{ stdout: string; stderr: string }>): Promise<Said> {
  try {
    return { ...(await running), code: 0 };
  } catch (error) {
    const { stdout = '', stderr = '', code = null, message } = error as Partial<Said> & Error;
    return { stdout, stderr: stderr === '' && stdout === '' ? message : stderr, code };
  }
}
