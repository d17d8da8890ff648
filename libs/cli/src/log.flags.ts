import { type Command, Option } from 'commander';
import type { HandledFilter, LogFilter, ResendFilter, SentFilter } from 'nestjs-eventing';
import { time } from './filter.flags.js';

const COMMON = ['event', 'id', 'key', 'channel', 'error', 'since', 'until'] as const;

/** What every question to the log understands. */
function withLogFlags(command: Command): Command {
  return command
    .option('--event <name>', 'of this event: name, or name@version')
    .option('--id <id>', 'with this id of an event')
    .option('--key <key>', 'with this key')
    .option('--channel <name>', 'of this channel')
    .option('--error <name>', 'with this error: its name or code')
    .option('--since <time>', 'then or later: an ISO date, or 30m, 2h, 7d ago', time)
    .option('--until <time>', 'then or before', time);
}

export function withSentFlags(command: Command): Command {
  return withLogFlags(command)
    .option('--provider <name>', 'through this provider of the configuration')
    .addOption(
      new Option('--outcome <outcome>', 'with this outcome').choices(['waiting', 'retrying', 'sent', 'failed']),
    );
}

export function withHandledFlags(command: Command): Command {
  return withLogFlags(command)
    .option('--listener <name>', 'of this listener (or group)')
    .addOption(new Option('--outcome <outcome>', 'with this outcome').choices(['handled', 'failed']));
}

export function withResendFlags(command: Command): Command {
  return withLogFlags(command)
    .option('--listener <name>', 'that this listener (or group) could not handle')
    .addOption(new Option('--of <side>', 'only what could not be sent, or handled').choices(['sent', 'handled']));
}

export const sentFilterOf = (flags: SentFilter): SentFilter => picked(flags, [...COMMON, 'provider', 'outcome']);

export const handledFilterOf = (flags: HandledFilter): HandledFilter =>
  picked(flags, [...COMMON, 'listener', 'outcome']);

export const resendFilterOf = (flags: ResendFilter): ResendFilter => picked(flags, [...COMMON, 'listener', 'of']);

/** Without what was not said. */
function picked<T extends LogFilter>(flags: T, names: readonly (keyof T & string)[]): Partial<T> {
  const given = names.filter((name) => flags[name] !== undefined);
  return Object.fromEntries(given.map((name) => [name, flags[name]])) as Partial<T>;
}
