import { readdir, readFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname, '../..');

/** A fenced block of a page. */
export interface Fence {
  readonly page: string;
  /** Of its first line of code, counted from 1. */
  readonly line: number;
  readonly language: string;
  readonly code: string;
  /** What a comment right before it, `<!-- snippet: … -->`, says of it. */
  readonly note: string | undefined;
}

/** The pages that users read: those at the top and those in `docs`. */
export async function pages(): Promise<string[]> {
  const top = await readdir(ROOT);
  const docs = await readdir(join(ROOT, 'docs'), { withFileTypes: true, recursive: true });
  return [
    ...top,
    ...docs.filter((entry) => entry.isFile()).map((entry) => relative(ROOT, join(entry.parentPath, entry.name))),
  ]
    .filter((file) => file.endsWith('.md'))
    .sort();
}

export async function fencesOfAllPages(): Promise<Fence[]> {
  const read = async (page: string): Promise<Fence[]> => fences(page, await readFile(join(ROOT, page), 'utf8'));
  return (await Promise.all((await pages()).map(read))).flat();
}

/** The fences of one page, in lists and quotes too. */
export function fences(page: string, text: string): Fence[] {
  const found: Fence[] = [];
  const lines = text.split('\n');
  let note: string | undefined;
  for (let at = 0; at < lines.length; at++) {
    const opening = /^([\s>]*)(`{3,}|~{3,})\s*([^\s`{]*)/.exec(lines[at] as string);
    if (opening === null) {
      const said = /^\s*<!-- snippet: (.*?) -->\s*$/.exec(lines[at] as string)?.[1];
      if (said !== undefined) note = said;
      else if (lines[at]?.trim() !== '') note = undefined;
      continue;
    }
    const [, indent = '', marks = '', language = ''] = opening;
    const line = at + 2;
    const code: string[] = [];
    while (++at < lines.length && !closes(lines[at] as string, marks))
      code.push((lines[at] as string).slice(indent.length));
    found.push({ page, line, language: language.toLowerCase(), code: code.map((text) => `${text}\n`).join(''), note });
    note = undefined;
  }
  return found;
}

function closes(line: string, marks: string): boolean {
  const text = line.replace(/^[\s>]*/, '').trimEnd();
  return text.length >= marks.length && text === (marks[0] as string).repeat(text.length);
}
