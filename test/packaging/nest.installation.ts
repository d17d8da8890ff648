import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { command, node } from './command.js';
import { entries, manifest, ROOT, specifierOf } from './manifest.js';

export type NestMajor = 11 | 12;
export type Format = 'module' | 'commonjs';

const isOptional = (peer: string): boolean => manifest.peerDependenciesMeta[peer]?.optional === true;
const peers = Object.entries(manifest.peerDependencies);

/** The client libraries of rooms: who does not use the room does not have them. */
export const clients = Object.keys(manifest.peerDependencies).filter(isOptional);

/** Set in each program that is compiled: what Nest's own templates set, strictly. */
const COMPILER_OPTIONS = {
  target: 'ES2023',
  module: 'nodenext',
  strict: true,
  skipLibCheck: false,
  experimentalDecorators: true,
  emitDecoratorMetadata: true,
  isolatedModules: true,
  esModuleInterop: true,
  types: ['node'],
  rootDir: 'source',
  outDir: 'built',
};

/** The packed package and one major version of Nest in a folder of theirs; programs live in folders within. */
export class NestInstallation {
  readonly #projects = new Map<Format, Promise<NestProject>>();

  private constructor(
    readonly folder: string,
    readonly major: NestMajor,
  ) {}

  static async create(within: string, major: NestMajor, tarball: string): Promise<NestInstallation> {
    const installation = new NestInstallation(join(within, `nest-${major}`), major);
    await mkdir(installation.folder);
    await writeFile(join(installation.folder, 'package.json'), JSON.stringify({ private: true }));
    const types = `@types/node@${manifest.devDependencies['@types/node']}`;
    await installation.install(tarball, types, ...peers.filter(([peer]) => !isOptional(peer)).map(installation.#range));
    return installation;
  }

  /** Installs the client libraries of all rooms. */
  addClients(): Promise<void> {
    return this.install(...peers.filter(([peer]) => isOptional(peer)).map(this.#range));
  }

  async install(...what: readonly string[]): Promise<void> {
    const flags = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];
    await command('npm', ['install', ...flags, ...what], { cwd: this.folder });
  }

  readonly #range = ([peer, range]: readonly [string, string]): string =>
    `${peer}@${peer.startsWith('@nestjs/') ? `^${this.major}.0.0` : range}`;

  /** The application of `application/`, compiled once for each format. */
  built(format: Format): Promise<NestProject> {
    const project = this.#projects.get(format) ?? this.#build(format);
    this.#projects.set(format, project);
    return project;
  }

  async #build(format: Format): Promise<NestProject> {
    const folder = join(this.folder, format);
    await cp(join(ROOT, 'test/packaging/application'), join(folder, 'source'), { recursive: true });
    // With the types of every entry.
    const rooms = entries.map(([subpath], at) => `export type Room${at} = typeof import('${specifierOf(subpath)}');\n`);
    await writeFile(join(folder, 'source/rooms.ts'), rooms.join(''));
    await writeFile(join(folder, 'package.json'), JSON.stringify({ private: true, type: format }));
    const project = new NestProject(folder);
    await project.compile();
    return project;
  }

  /** A program of `programs/`, from where the package is installed. @returns the JSON that it printed */
  async run(program: string, args: readonly string[] = [], flags: readonly string[] = []): Promise<unknown> {
    await cp(join(ROOT, 'test/packaging/programs', program), join(this.folder, program));
    return JSON.parse(await node([...flags, program, ...args], { cwd: this.folder }));
  }
}

export class NestProject {
  constructor(private readonly folder: string) {}

  /** @throws Error with what the compiler has against it, if it has anything */
  async compile(options: Readonly<Record<string, unknown>> = {}): Promise<void> {
    const config = { compilerOptions: { ...COMPILER_OPTIONS, ...options }, include: ['source'] };
    await writeFile(join(this.folder, 'tsconfig.json'), JSON.stringify(config));
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    await node([tsc, '-p', '.', '--pretty', 'false'], { cwd: this.folder });
  }

  run(...flags: readonly string[]): Promise<string> {
    return node([...flags, 'built/main.js'], { cwd: this.folder });
  }
}
