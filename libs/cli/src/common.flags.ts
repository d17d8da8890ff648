import { type Command, InvalidArgumentError } from 'commander';
import { readConfig } from './config.file.js';
import { ServiceAccess } from './service.access.js';
import type { Terminal } from './terminal.js';

/** What every command understands. */
export interface CommonFlags {
  readonly config?: string;
  readonly json?: true;
  readonly timeout: number;
  readonly verbose?: true;
}

export function withCommonFlags(command: Command): Command {
  return command
    .option(
      '-c, --config <file>',
      'exports the options of EventingModule.forRoot() (default: eventing.config.{js,mjs,cjs} here)',
    )
    .option('--json', 'print one JSON document')
    .option('--timeout <seconds>', 'how long to wait for the brokers', seconds, 30)
    .option('--verbose', 'print what providers log, and the stack of an error');
}

/** Opens the service's providers for a command, and closes them again. */
export async function withService<T>(
  flags: CommonFlags,
  terminal: Terminal,
  work: (access: ServiceAccess) => Promise<T>,
): Promise<T> {
  const config = await readConfig(terminal.folder, flags.config);
  const access = new ServiceAccess(config, {
    timeout: flags.timeout * 1000,
    verbose: flags.verbose === true,
    say: (text) => terminal.err(`${text}\n`),
  });
  try {
    return await access.within(work);
  } finally {
    await access.close();
  }
}

// oxlint-disable-next-line no-control-regex -- those are what it is about
const LEFT_BY_JSON = /[\u007f-\u009f\u2028\u2029]/g;

/** It may be a terminal that reads it. */
export function printJson(terminal: Terminal, document: unknown): void {
  const text = JSON.stringify(document, undefined, 2);
  const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  terminal.out(`${text.replace(LEFT_BY_JSON, escaped)}\n`);
}

/** @param text a whole number of at least 1 */
export function count(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('It must be a whole number of at least 1.');
  return Number(text);
}

function seconds(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value > 0 && value <= 86_400)) throw new InvalidArgumentError('It must be seconds, at most a day.'); // prettier-ignore
  return value;
}
