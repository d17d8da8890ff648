import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fences, fencesOfAllPages, pages, ROOT } from './pages.js';
import { SnippetProject } from './snippet.project.js';
import { collect, programs, type Snippet } from './snippets.js';

const CONTEXT = join(import.meta.dirname, 'context');

/** Compiled with the others: what shows that a mistake would be seen. */
const PLANTED = `
\`\`\`ts
// file: planted.ts
import { EventManager } from 'nestjs-eventing';
import { kafka } from 'nestjs-eventing/kafka';

declare const events: EventManager;
export const sent: number = events.sendEvent(class {}, {});
kafka({ broker: 'localhost:9092' });
kafka({ brokers: [] }).connect();
\`\`\`
`;

/** Beside the README's files: what their listener says of itself on Kafka, which is said before anything is connected to. */
const ANNOUNCING = `
\`\`\`ts
// file: announcing.ts
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { eventing } from './kafka.js';
import { SendReceipt } from './shop.js';

@Module({ imports: [eventing], providers: [SendReceipt] })
class OnKafka {}

const log = (message: string): void => {
  if (message.startsWith('Mapped ')) process.stdout.write(message + '\\n', () => process.exit());
};
await NestFactory.createApplicationContext(OnKafka, { logger: { log, warn: log, error: log } });
\`\`\`
`;

/** @returns the program above, as one that prints what the README says */
async function announcing(): Promise<Snippet[]> {
  const [, line] = /^ {4}(Mapped \{.*)$/m.exec(await readFile(join(ROOT, 'README.md'), 'utf8')) ?? [];
  if (line === undefined) throw new Error('README.md does not show what a listener says at the start');
  return collect(fences('README.md', ANNOUNCING), new Map()).snippets.map((snippet) => ({
    ...snippet,
    prints: [`${line}\n`],
  }));
}

async function contexts(): Promise<Map<string, string>> {
  const names = await readdir(CONTEXT);
  return new Map(
    await Promise.all(names.map(async (name) => [name, await readFile(join(CONTEXT, name), 'utf8')] as const)),
  );
}

const { snippets, problems } = collect(await fencesOfAllPages(), await contexts());
const compiled = snippets.filter(({ notCompiled }) => notCompiled === undefined);
const planted = collect(fences('planted.md', PLANTED), new Map()).snippets;
const announced = await announcing();
let project: SnippetProject;
let errors: Map<string, string[]>;

beforeAll(async () => {
  project = await SnippetProject.write([...compiled, ...announced, ...planted]);
  errors = await project.compile();
}, 600_000);

afterAll(() => project?.remove());

describe('the snippets of the documentation', () => {
  it('are all whole files, or fragments with a context', () => {
    expect(problems).toEqual([]);
  });

  it('are all found', async () => {
    for (const page of await pages()) {
      const text = await readFile(join(ROOT, page), 'utf8');
      const marks = text.match(/(?:```|~~~)[ \t]*(?:ts|mts|cts|tsx|typescript)\b/gi) ?? [];
      expect([page, snippets.filter((snippet) => snippet.page === page).length]).toEqual([page, marks.length]);
    }
  });

  it('are compiled with a package that compiles', () => {
    expect(errors.get('') ?? []).toEqual([]);
  });

  it.each([...new Set(compiled.map(({ page }) => page))])('%s compiles', (page) => {
    expect(errors.get(page) ?? []).toEqual([]);
  });

  it('would not compile with a mistake in them', () => {
    expect(errors.get('planted.md')).toEqual([
      expect.stringMatching(/^planted\.md:8: error TS2322: /),
      expect.stringMatching(/^planted\.md:9: error TS2561: /),
      expect.stringMatching(/^planted\.md:10: error TS2339: /),
    ]);
  });

  it('say why where they are not compiled or not run', () => {
    for (const { page, line, notCompiled, notRun } of snippets) {
      if (notCompiled !== undefined) console.log(`${page}:${line} is not compiled: ${notCompiled}`);
      if (notRun !== undefined) console.log(`${page}:${line} is compiled and not run: ${notRun}`);
    }
    expect(programs(snippets).length).toBeGreaterThan(10);
  });
});

describe('the programs of the documentation', () => {
  const talking = programs(snippets).filter(({ prints }) => prints.length > 0);
  const apart = [
    ...talking.map((snippet) => [snippet.page, `the program of line ${snippet.line}`, snippet] as const),
    ...announced.map((snippet) => [snippet.page, 'the listener on Kafka', snippet] as const),
  ];
  const silent = programs(snippets).filter(({ prints }) => prints.length === 0);
  let ends: Map<Snippet, string>;

  beforeAll(async () => {
    ends = await project.runInTurn(silent);
  }, 600_000);

  it.for(silent.map((snippet) => [snippet.page, snippet.line, snippet] as const))(
    '%s:%i ends well',
    ([, , snippet]) => {
      expect(ends.get(snippet)).toBe('well');
    },
  );

  // Side by side: each waits for a process of its own.
  describe.concurrent('in processes of their own', () => {
    it.for(apart)('%s: %s prints what it says', { timeout: 600_000 }, async ([, , snippet], { expect }) => {
      const { stdout, stderr, code } = await project.run(snippet);
      expect(code, `${stdout}${stderr}`).toBe(0);
      let rest = stdout;
      for (const line of snippet.prints) {
        expect(rest).toContain(line);
        rest = rest.slice(rest.indexOf(line) + line.length);
      }
    });
  });
});
