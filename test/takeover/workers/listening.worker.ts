import 'reflect-metadata';
import { once } from 'node:events';
import { openSync, writeSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { NestFactory } from '@nestjs/core';
import { EventListener } from 'nestjs-eventing';
import { eventingOf, type Numbered, numberedEvent } from './numbered.js';
import type { WorkerSetup } from './worker.setup.js';

const setup = JSON.parse(process.argv[2] ?? '{}') as WorkerSetup;
const asked = once(process, 'SIGTERM');
const history = openSync(setup.history, 'a');

/** At once: what is noted survives the process. */
function note(line: object): void {
  writeSync(history, `${JSON.stringify({ ...line, at: String(process.hrtime.bigint()) })}\n`);
}

@EventListener(numberedEvent(setup.channel), { name: 'Counter', concurrency: 16, window: 64 })
class Counter implements EventListener<Numbered> {
  async on({ key, number }: Numbered): Promise<void> {
    note({ kind: 'handled', key, number });
    await pause(2);
  }
}

class WorkerModule {}
const app = await NestFactory.createApplicationContext(
  { module: WorkerModule, imports: [eventingOf(setup)], providers: [Counter] },
  { abortOnError: false },
);
note({ kind: 'ready' });
await asked;
await app.close();
