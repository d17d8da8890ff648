import { Command, CommanderError } from 'commander';
import { addChangeCommands } from './change.commands.js';
import { addLogCommands } from './log.commands.js';
import { addLookCommands } from './look.commands.js';
import { addMigrateCommand } from './migrate.command.js';
import { addReplayCommand } from './replay.command.js';
import { shown } from './shown.text.js';
import type { Terminal } from './terminal.js';
import { UsageError } from './usage.error.js';

export const DONE = 0;
export const FAILED = 1;
export const MISUNDERSTOOD = 2;

/**
 * Runs one command. Never rejects.
 * @param args without the program itself
 * @returns the exit code: 0 done, 1 failed, 2 not understood
 */
export async function runCommand(args: readonly string[], terminal: Terminal): Promise<number> {
  let code = DONE;
  const program = programOf(terminal, () => (code = FAILED));
  try {
    await program.parseAsync([...args], { from: 'user' });
    return code;
  } catch (error) {
    // Commander has printed what it found.
    if (error instanceof CommanderError) return error.exitCode === 0 ? DONE : MISUNDERSTOOD;
    terminal.err(`${told(error)}\n`);
    if (args.includes('--verbose') && error instanceof Error) terminal.err(`${stackOf(error)}\n`);
    return error instanceof UsageError ? MISUNDERSTOOD : FAILED;
  }
}

function programOf(terminal: Terminal, fail: () => void): Command {
  const program = new Command('eventing')
    .description(
      "Works with a service's dead letters and its log, replays what its listeners have had, and prepares its databases.",
    )
    .exitOverride()
    .configureOutput({
      writeOut: terminal.out,
      writeErr: terminal.err,
      getOutHelpWidth: () => terminal.width,
      getErrHelpWidth: () => terminal.width,
    })
    .showHelpAfterError('(add --help to see what there is)');
  const letters = program.command('dead-letters').description('what listeners could not handle');
  addLookCommands(letters, terminal);
  addChangeCommands(letters, terminal, fail);
  addLogCommands(program.command('log').description('what was sent and handled'), terminal, fail);
  addReplayCommand(program, terminal, fail);
  addMigrateCommand(program, terminal);
  return program;
}

/** Code and message; where several things are wrong, all of them. */
function told(error: unknown): string {
  if (error instanceof UsageError) return shown(error.message, 4000);
  if (!(error instanceof Error)) return shown(String(error), 4000);
  // By its code, since the configuration may have brought another copy of the package.
  const code =
    'code' in error && typeof error.code === 'string' && error.code.startsWith('EVT_') ? error.code : undefined;
  return code === undefined ? shown(`${error.name}: ${error.message}`, 4000) : `${code} ${shown(error.message, 8000)}`;
}

function stackOf(error: Error): string {
  const { stack = '', cause } = error;
  return shown(cause instanceof Error ? `${stack}\ncaused by ${stackOf(cause)}` : stack, 16_000);
}
