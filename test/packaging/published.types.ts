import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { entries } from './manifest.js';
import type { PackedPackage } from './packed.package.js';

/** What the types of an entry, and all they are made of, import from outside of the package: what users must have, and can break. */
export async function namedByTypes(packed: PackedPackage, subpath: string): Promise<string[]> {
  const forms = entries.find(([name]) => name === subpath)?.[1];
  const outside = new Set<string>();
  // A set may grow while it is walked.
  const files = new Set(Object.values(forms ?? {}).map(({ types }) => join(packed.folder, types)));
  for (const file of files) {
    const text = (await readFile(file, 'utf8')).replace(/\/\*[^]*?\*\//g, '');
    for (const [, name = ''] of text.matchAll(/(?:\bfrom |\bimport |\bimport\()['"]([^'"]+)['"]/g)) {
      if (name.startsWith('.')) files.add(join(dirname(file), name.replace(/\.js$/, '.d.ts')));
      else outside.add(name);
    }
  }
  return [...outside].sort();
}
