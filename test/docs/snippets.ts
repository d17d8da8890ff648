import type { Fence } from './pages.js';

/** A fence of TypeScript, and what becomes of it. */
export interface Snippet {
  readonly page: string;
  /** Where its code begins in the page, counted from 1. */
  readonly line: number;
  /** Whole, with the context around it where it is a fragment. */
  readonly source: string;
  /** Where its code begins in `source`, and how many lines it has. */
  readonly offset: number;
  readonly length: number;
  /** The folder of its page and its name in there. */
  readonly file: string;
  /** Why it is not compiled, or not run; the reader of a test's report sees it. */
  readonly notCompiled: string | undefined;
  readonly notRun: string | undefined;
  /** What it must print, in this order, where it says so with `// prints: …`. */
  readonly prints: readonly string[];
}

export interface Collected {
  readonly snippets: readonly Snippet[];
  /** What is wrong with pages and contexts, each with its place. */
  readonly problems: readonly string[];
}

const TYPESCRIPT = /^(?:[mc]?tsx?|typescript)$/;
const OTHER_CODE = /^(?:|[mc]?jsx?|javascript|node)$/;
const PLACE = /^[ \t]*\/\/ the snippet\n/gm;

/**
 * Every fence of TypeScript must say what it is:
 *
 * - a whole file, by its first line `// file: name.ts`; files of one page import each other;
 * - a fragment, by `<!-- snippet: in name.ts -->` before it: it takes the place of `// the snippet` in `context/name.ts`;
 * - with `not run: why` behind that, something that is compiled only;
 * - something else, by `<!-- snippet: not compiled: why -->`.
 *
 * @param contexts by file name
 */
export function collect(fences: readonly Fence[], contexts: ReadonlyMap<string, string>): Collected {
  const problems: string[] = [];
  const snippets: Snippet[] = [];
  const used = new Set<string>();
  for (const fence of fences) {
    const note = readNote(fence.note);
    const own = /^\/\/ file: ([\w-][\w./-]*\.ts)\n/.exec(fence.code)?.[1];
    const context = note?.context === undefined ? undefined : contexts.get(note.context);
    const name = own ?? note?.context ?? `line-${fence.line}.ts`;
    const file = `${fence.page.replace(/\W+/g, '-').toLowerCase()}/${name}`;
    const fault =
      faultOf(fence, note, own, context) ?? (used.has(file) ? `is a second ${name} of this page` : undefined);
    if (fault !== undefined) problems.push(`${fence.page}:${fence.line} ${fault}`);
    if (fault !== undefined || !TYPESCRIPT.test(fence.language)) continue;
    used.add(file);
    snippets.push({
      page: fence.page,
      line: fence.line,
      source: context === undefined ? fence.code : context.replace(PLACE, () => fence.code),
      offset: context === undefined ? 0 : context.slice(0, context.search(PLACE)).split('\n').length - 1,
      length: fence.code.split('\n').length - 1,
      file,
      notCompiled: note?.notCompiled,
      notRun: note?.notRun,
      prints: [...fence.code.matchAll(/^\/\/ prints: (.*)$/gm)].map(([, line = '']) => line),
    });
  }
  const named = new Set(fences.map(({ note }) => readNote(note)?.context));
  for (const name of contexts.keys()) if (!named.has(name)) problems.push(`context/${name} is of no snippet`);
  return { snippets, problems };
}

/** What is wrong with a fence, if anything is. */
function faultOf(fence: Fence, note: Note | undefined, own?: string, context?: string): string | undefined {
  if (OTHER_CODE.test(fence.language)) return 'is code of no language, or JavaScript: name it, or write TypeScript';
  if (!TYPESCRIPT.test(fence.language))
    return fence.note === undefined ? undefined : 'has a note, and is no TypeScript';
  if (note === undefined) return `has a note that cannot be read: ${fence.note}`;
  if (note.notCompiled !== undefined) return own === undefined ? undefined : 'is a whole file: compile it';
  if (note.context === undefined)
    return own === undefined
      ? 'is not compiled: begin it with "// file: name.ts", or put "<!-- snippet: in name.ts -->" before it'
      : undefined;
  if (own !== undefined) return 'is a whole file, and names a context';
  if (context === undefined) return `names context/${note.context}, which is not there`;
  if (context.match(PLACE)?.length !== 1)
    return `names context/${note.context}, which must say "// the snippet" on one line`;
  return undefined;
}

interface Note {
  readonly context?: string;
  readonly notRun?: string;
  readonly notCompiled?: string;
}

/** @returns undefined where it cannot be understood */
function readNote(note: string | undefined): Note | undefined {
  if (note === undefined) return {};
  const [, context, notRun] = /^(?:in ([\w.-]+\.ts))?(?:(?:^|, )not run: (.+))?$/.exec(note) ?? [];
  const notCompiled = /^not compiled: (.+)$/.exec(note)?.[1];
  if (context === undefined && notRun === undefined && notCompiled === undefined) return undefined;
  return {
    ...(context === undefined ? {} : { context }),
    ...(notRun === undefined ? {} : { notRun }),
    ...(notCompiled === undefined ? {} : { notCompiled }),
  };
}

/** Those to run: programs. A file that others of its page import runs with them. */
export function programs(snippets: readonly Snippet[]): Snippet[] {
  const imported = new Set(
    snippets.flatMap(({ file, source }) =>
      [...source.matchAll(/(?:from|import) '\.\/([\w./-]+)\.js'/g)].map(
        ([, name = '']) => `${file.slice(0, file.indexOf('/'))}/${name}.ts`,
      ),
    ),
  );
  return snippets.filter(
    ({ file, notRun, notCompiled }) => notRun === undefined && notCompiled === undefined && !imported.has(file),
  );
}
