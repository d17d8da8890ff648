// Builds what is published: `node packaging/build.mjs [folder [flags for tsc]]`, by default into `dist`. Two forms of the same sources, because
// not everything that loads CommonJS can load a module (docs/decisions/0006-one-package-two-forms.md). Plain JavaScript: it runs
// before anything is compiled.
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const out = resolve(process.argv[2] ?? join(root, 'dist'));
const flags = process.argv.slice(3);
const compiler = join(root, 'node_modules/typescript/bin/tsc');

// A file whose source is gone would be published for ever.
rmSync(out, { recursive: true, force: true });
for (const [config, folder, ...more] of [
  ['tsconfig.module.json', '.'],
  // The same sources, which have just been checked.
  ['tsconfig.commonjs.json', 'commonjs', '--noCheck'],
]) {
  const project = ['-p', join(import.meta.dirname, config), '--outDir', join(out, folder)];
  const args = [compiler, ...project, ...more, ...flags];
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
// The nearest package.json tells Node and TypeScript what a .js file is.
mkdirSync(join(out, 'commonjs'), { recursive: true });
writeFileSync(join(out, 'commonjs/package.json'), `${JSON.stringify({ type: 'commonjs' })}\n`);
