import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type Fence, fencesOfAllPages, pages, ROOT } from './pages.js';

interface Manifest {
  readonly name: string;
  readonly scripts: Record<string, string>;
  readonly peerDependencies: Record<string, string>;
  readonly devDependencies: Record<string, string>;
  readonly bin: Record<string, string>;
}

const manifest = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as Manifest;
const fences = await fencesOfAllPages();
const files = new Set(fences.map(({ code }) => /^\/\/ file: (\S+)/.exec(code)?.[1]));
const shell = fences.filter(({ language }) => /^(?:sh|bash|shell|console)$/.test(language));

/** `a && b # c` is two commands. */
const commands = ({ code }: Fence): string[] =>
  code
    .replace(/\s#.*$/gm, '')
    .split(/\n|&&/)
    .map((command) => command.trim())
    .filter((command) => command !== '');

/** What is wrong with a command of the documentation, if anything is. */
function fault(command: string): string | undefined {
  const [program = '', ...words] = command.split(/\s+/);
  if (program.startsWith('.')) return existsSync(join(ROOT, program)) ? undefined : `${program} is not there`;
  // Into what the command before it made.
  if (program === 'cd') return undefined;
  if (program === 'npx')
    return (words[0] ?? '') in { ...manifest.devDependencies, ...manifest.bin }
      ? undefined
      : `${words[0]} is not known here`;
  if (program === 'node') {
    const name = /^dist\/([\w.-]+)\.js$/.exec(words[0] ?? '')?.[1];
    return files.has(`${name}.ts`) ? undefined : `no page has a file ${name}.ts`;
  }
  if (program !== 'npm') return `is not checked: tell ${import.meta.filename.slice(ROOT.length)} how`;
  const [verb = '', ...rest] = words;
  if (verb === 'ci') return undefined;
  if (verb === 'install') {
    const strange = rest.filter((name) => name !== manifest.name && !(name in manifest.peerDependencies));
    return strange.length === 0 ? undefined : `${strange.join(', ')}: neither this package nor a peer of it`;
  }
  const script = verb === 'run' ? (rest.find((word) => !word.startsWith('-')) ?? '') : verb;
  return script in manifest.scripts ? undefined : `there is no script "${script}"`;
}

it('commands of the documentation are there', () => {
  const faults = shell.flatMap((fence) =>
    commands(fence).flatMap((command) => {
      const why = fault(command);
      return why === undefined ? [] : [`${fence.page}:${fence.line} ${command}: ${why}`];
    }),
  );
  expect(shell.length).toBeGreaterThan(3);
  expect(faults).toEqual([]);
});

it('scripts named in the text are there', async () => {
  for (const page of await pages()) {
    const text = await readFile(join(ROOT, page), 'utf8');
    const named = [...text.matchAll(/`npm (?:run ([\w:-]+)|(start|test))\b/g)].map(([, run, own]) => run ?? own ?? '');
    expect([page, named.filter((script) => !(script in manifest.scripts))]).toEqual([page, []]);
  }
});

it('what the first ten minutes install is what a Nest application lacks', () => {
  const installed = shell
    .filter(({ page }) => page === 'docs/getting-started.md')
    .flatMap(commands)
    .flatMap((command) => /^npm install (.*)$/.exec(command)?.[1]?.split(' ') ?? []);
  // Whoever needs the bridge to @nestjs/microservices has that already.
  const brings = /^(?:@nestjs\/(?:common|core|microservices)|@opentelemetry\/api|reflect-metadata|rxjs)$/;
  const lacks = Object.keys(manifest.peerDependencies).filter((name) => !brings.test(name));
  // umzug goes with either PostgreSQL.
  expect([...new Set(installed)].sort()).toEqual([manifest.name, ...lacks].sort());
});

it('a command that is not there would be seen', () => {
  const wrong = [
    'npm run no-such-script',
    'npm no-such-command',
    'npm install nestjs-eventing left-pad',
    './no-such',
    'yarn',
    'npx left-pad',
    'node dist/no-such.js',
  ];
  expect(wrong.map(fault)).not.toContain(undefined);
  expect(['npm ci', 'npm test', 'npm run --silent build'].map(fault)).toEqual([undefined, undefined, undefined]);
});
