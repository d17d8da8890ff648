import 'reflect-metadata';
import { Logger } from '@nestjs/common';
import { EventingError } from 'nestjs-eventing';
import { type Flags, readFlags, USAGE, UsageError } from './cli.js';
import { providerFor } from './provider.js';
import { quickstart } from './quickstart.js';
import { StderrLogger } from './stderr.logger.js';
import { paintFor } from './story/paint.js';

/** Milliseconds for which the story waits for any one thing. A broker that just began takes its time. */
const PATIENCE = { memory: 5_000, real: 30_000 };

async function main(): Promise<number> {
  let flags: Flags | 'help';
  try {
    flags = readFlags(process.argv.slice(2), process.env);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}\n\n${USAGE}`);
    return 2;
  }
  if (flags === 'help') {
    process.stdout.write(USAGE);
    return 0;
  }

  const logger = new StderrLogger(flags.verbose);
  Logger.overrideLogger(logger);
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => stop.abort(new Error(`stopped by ${signal}`)));
  try {
    return await quickstart({
      ...flags,
      provider: await providerFor(flags),
      patience: flags.provider === 'memory' ? PATIENCE.memory : PATIENCE.real,
      paint: paintFor(process.stdout, process.env),
      signal: stop.signal,
      opened: () => logger.shopIsOpen(),
      print: (line) => void process.stdout.write(`${line}\n`),
    });
  } catch (error) {
    const reason =
      error instanceof EventingError ? `${error.code} ${error.message}` : error instanceof Error ? error.stack : error;
    process.stderr.write(`The shop did not open: ${String(reason)}\n`);
    return 1;
  }
}

process.exitCode = await main();
