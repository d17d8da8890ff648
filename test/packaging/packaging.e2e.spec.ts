import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ScratchFolder } from '../brokers/scratch-folder.js';
import { entries, manifest, roomOf, ROOT, specifierOf } from './manifest.js';
import { clients, type Format, NestInstallation, type NestMajor } from './nest.installation.js';
import { PackedPackage } from './packed.package.js';
import { namedByTypes } from './published.types.js';
import { registryIsAway } from './registry.js';

// What users get is what `npm pack` makes, beside what they have: packed here, and used from there.

/** The client library of each room; a room that is not here has none. */
const CLIENTS: Readonly<Record<string, readonly string[]>> = {
  amqp: ['rhea'],
  kafka: ['kafkajs'],
  microservices: ['@nestjs/microservices'],
  opentelemetry: ['@opentelemetry/api'],
  postgres: ['pg', '@electric-sql/pglite', 'umzug'],
  rabbitmq: ['amqplib'],
  stomp: ['@stomp/stompjs'],
};

/** They ask for a client library when they need it: a server needs one, a folder another (`EVT_CLIENT_MISSING`). */
const LATE: readonly string[] = ['postgres'];

const isLate = (subpath: string): boolean => LATE.includes(roomOf(subpath));
const clientsOf = (subpath: string): readonly string[] => CLIENTS[roomOf(subpath)] ?? [];
const subpaths = entries.map(([subpath]) => subpath);
const MAJORS: readonly NestMajor[] = [11, 12];
const FORMATS: readonly Format[] = ['module', 'commonjs'];

let scratch: ScratchFolder;
let packed: PackedPackage;
const away = await registryIsAway();

beforeAll(async () => {
  scratch = await ScratchFolder.create('packaging');
  packed = await PackedPackage.ready();
}, 600_000);
afterAll(() => scratch.remove());

describe('the packed package', () => {
  it('exports each room that has an index, as a module and as CommonJS', () => {
    const rooms = readdirSync(join(ROOT, 'libs')).filter((room) => existsSync(join(ROOT, `libs/${room}/src/index.ts`)));
    const form = (folder: string, room: string): object => ({
      types: `./${folder}/${room}/src/index.d.ts`,
      default: `./${folder}/${room}/src/index.js`,
    });
    const expected = rooms.map((room) => {
      const [module, commonjs] = [form('dist/libs', room), form('dist/commonjs/libs', room)];
      return [room === 'eventing' ? '.' : `./${room}`, { import: module, 'module-sync': module, require: commonjs }];
    });
    expect(Object.fromEntries(entries)).toEqual(Object.fromEntries(expected));
  });

  it('has every file that it names, and none of the tests', () => {
    const named = entries
      .flatMap(([, forms]) => Object.values(forms))
      .flatMap((form) => Object.values(form) as string[]);
    expect(packed.files).toEqual(expect.arrayContaining(named.map((file) => file.slice(2))));
    expect(packed.files).toEqual(expect.arrayContaining(['README.md', 'LICENSE', 'CHANGELOG.md', 'docs/errors.md']));
    expect(packed.files.filter((file) => /\.(?:spec|fixture|cases\.spec)\.|\.map$|tsbuildinfo/.test(file))).toEqual([]);
    expect(packed.files.filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))).toEqual([]);
  });

  it.each(subpaths)('has types of %s that name no inner file of Nest and no client library', async (subpath) => {
    const own = new Set([manifest.name, '@nestjs/common', '@nestjs/core', 'reflect-metadata', 'rxjs']);
    const strange = (await namedByTypes(packed, subpath)).filter((name) => !own.has(name) && !name.startsWith('node:'));
    expect(strange.filter((name) => !clientsOf(subpath).includes(name))).toEqual([]);
  });

  it('is sound to publint', async () => {
    const bytes = await packed.bytes();
    const { messages } = await publint({ pack: { tarball: bytes.buffer as ArrayBuffer } });
    expect(messages.map((message) => formatMessage(message, manifest))).toEqual([]);
  });

  it('has types that are right for every way to resolve them (attw)', async () => {
    const analysis = await checkPackage(createPackageFromTarballData(await packed.bytes()));
    expect(analysis.types).toEqual({ kind: 'included' });
    expect('problems' in analysis ? analysis.problems : undefined).toEqual([]);
  }, 600_000);
});

/** What `application/main.ts` prints. */
const ACCOUNT = {
  lines: [
    'booked 1 for rival',
    'booked 2.5 for acme',
    'invoice for a of acme',
    'no tax',
    'no tax',
    'receipt for a: true, attempt 1',
    'receipt for b: true, attempt 1',
    'session s-1',
    'session s-1',
  ],
  closing: ['the books are closed', 'the journal is closed'],
  letters: [
    'Accounting.audit: failed: the auditor is out',
    'Accounting.audit: failed: the auditor is out',
    'Invoices: rejected: TenantGuard denies Invoices this event.',
  ],
  refusal: 'EVT_INVALID_EVENT',
};

describe.skipIf(away).each(MAJORS)('installed with Nest %i', (major) => {
  let nest: NestInstallation;
  beforeAll(async () => {
    nest = await NestInstallation.create(scratch.path, major, packed.tarball);
  }, 600_000);

  const without = subpaths.filter((subpath) => clientsOf(subpath).length === 0 || isLate(subpath));
  const within = subpaths.filter((subpath) => !without.includes(subpath));

  it.each(without)('%s does without client libraries', async (subpath) => {
    expect(await nest.run('loaded-packages.mjs', [specifierOf(subpath)])).toContain('@nestjs/common');
  });

  it.each(within)('%s names the client library that is missing, imported and required', async (subpath) => {
    const missing = new RegExp(`MODULE_NOT_FOUND.*'(?:${clientsOf(subpath).join('|')})\\b`);
    for (const how of ['import', 'require'])
      expect(await nest.run('absent-client.cjs', [specifierOf(subpath), how])).toMatch(missing);
  });

  it('is one copy, whoever imports it and whoever requires it', async () => {
    expect(await nest.run('copies.cjs')).toEqual({
      same: true,
      got: ['true true'],
      reasons: ['rejected'],
      injected: 'injected',
    });
  });

  describe('and the client libraries', () => {
    beforeAll(() => nest.addClients(), 600_000);

    it.each(subpaths)('loads with %s its own client library only', { timeout: 600_000 }, async (subpath) => {
      const loaded = (await nest.run('loaded-packages.mjs', [specifierOf(subpath)])) as string[];
      expect(loaded.filter((name) => clients.includes(name))).toEqual(isLate(subpath) ? [] : clientsOf(subpath));
    });

    it.each(FORMATS)(
      'is used by an application that is %s, strictly typed down to the libraries',
      async (format) => {
        const project = await nest.built(format);
        expect(JSON.parse(await project.run())).toEqual(ACCOUNT);
      },
      600_000,
    );
  });

  // Tools that do not let `require` load a module cannot load Nest 12 either.
  if (major !== 11) return;
  describe('where `require` loads no module', () => {
    const FLAGS = ['--no-experimental-require-module'];

    it('is CommonJS to CommonJS', async () => {
      const project = await nest.built('commonjs');
      expect(JSON.parse(await project.run(...FLAGS))).toEqual(ACCOUNT);
    }, 600_000);

    // `nest new` wrote these settings before it wrote `nodenext`.
    it('has types for compilers that know no exports', async () => {
      const project = await nest.built('commonjs');
      const old = { module: 'commonjs', moduleResolution: 'node10', ignoreDeprecations: '6.0' };
      await expect(project.compile(old)).resolves.toBeUndefined();
    }, 600_000);

    it('is two copies to who imports and requires: declarations are shared, classes are not', async () => {
      expect(await nest.run('copies.cjs', [], FLAGS)).toEqual({
        same: false,
        got: ['true false', 'true false'],
        // Retried and kept: nothing is lost over an error of the other copy.
        reasons: ['failed'],
        injected: expect.stringContaining("Nest can't resolve dependencies of the Shop (?)"),
      });
    });
  });
});
