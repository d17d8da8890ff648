import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';
import { command } from '../command.js';
import { ROOT } from '../manifest.js';

// What does no I/O, run once more with Nest 11 in the place of Nest 12: `npm run test:nest-11`.

const PARTS = ['common', 'core', 'microservices', 'platform-express', 'testing'];
// Inside the repository: all but Nest itself resolves to what is installed for the tests.
const folder = join(ROOT, '.cache/nest-11');

async function install(): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), JSON.stringify({ private: true }));
  const flags = ['--legacy-peer-deps', '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];
  await command('npm', ['install', ...flags, ...PARTS.map((part) => `@nestjs/${part}@^11.0.0`)], { cwd: folder });
}

export default defineConfig(async () => {
  await install();
  return {
    oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
    resolve: {
      tsconfigPaths: true,
      alias: [
        { find: new RegExp(`^(@nestjs/(?:${PARTS.join('|')})(?:/.*)?)$`), replacement: `${folder}/node_modules/$1` },
      ],
    },
    test: {
      root: ROOT,
      include: ['libs/*/src/**/*.spec.ts', 'test/conformance/{memory,suite}.spec.ts'],
      exclude: ['**/*.{int,e2e}.spec.ts', 'libs/{amqp,cli,kafka,postgres,rabbitmq,stomp}/**'],
      setupFiles: ['reflect-metadata'],
      isolate: false,
      maxWorkers: 2,
      testTimeout: 60_000,
      hookTimeout: 120_000,
    },
  };
});
