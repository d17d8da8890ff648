import { type Command, InvalidArgumentError, Option } from 'commander';
import { DEAD_LETTER_REASONS, type DeadLetterFilter } from 'nestjs-eventing';

const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** Which dead letters a command is about. */
export type FilterFlags = DeadLetterFilter;

const FIELDS = ['provider', 'event', 'listener', 'reason', 'error', 'text', 'since', 'until'] as const;

export function withFilterFlags(command: Command): Command {
  return command
    .option('--provider <name>', 'of this provider of the configuration')
    .option('--event <name>', 'of this event: name, or name@version')
    .option('--listener <name>', 'that this listener (or group) could not handle')
    .addOption(new Option('--reason <reason>', 'given up for this reason').choices(DEAD_LETTER_REASONS))
    .option('--error <name>', 'with this error: its name or code')
    .option('--text <text>', "with this text in error message, event's id, key, headers or body")
    .option('--since <time>', 'given up then or later: an ISO date, or 30m, 2h, 7d ago', time)
    .option('--until <time>', 'given up then or before', time);
}

/** `undefined` where no flag says anything. */
export function filterOf(flags: FilterFlags): DeadLetterFilter | undefined {
  const given = FIELDS.filter((name) => flags[name] !== undefined);
  return given.length === 0 ? undefined : Object.fromEntries(given.map((name) => [name, flags[name]]));
}

/** Milliseconds since 1970 of a date, or of so long ago. */
export function time(text: string): number {
  const [, amount, unit = ''] = /^(\d{1,9})([smhdw])$/.exec(text) ?? [];
  if (amount !== undefined) return Date.now() - Number(amount) * (UNITS[unit] ?? 0);
  const date = /^\d{4}-/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(date))
    throw new InvalidArgumentError('It must be a date such as 2026-11-20T12:00Z, or 30m, 2h, 7d ago.');
  return date;
}
