import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname, '../..');

/** One form of an entry: what a compiler reads, and what runs. */
interface Form {
  readonly types: string;
  readonly default: string;
}

export type Entry = Readonly<Record<'import' | 'module-sync' | 'require', Form>>;

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly files: readonly string[];
  readonly exports: Readonly<Record<string, Entry | string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional: boolean }>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

export const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest;

/** What is not one of the package's own files, `./package.json`. */
export const entries = Object.entries(manifest.exports).filter(
  (entry): entry is [string, Entry] => typeof entry[1] === 'object',
);

/** `.` → `eventing`, `./kafka` → `kafka`. */
export const roomOf = (subpath: string): string => (subpath === '.' ? 'eventing' : subpath.slice(2));

/** What a program imports: `nestjs-eventing/kafka`. */
export const specifierOf = (subpath: string): string => `${manifest.name}${subpath.slice(1)}`;
