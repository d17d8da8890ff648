import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { type DeadLetterEdit, type DeadLetterFilter, type DeadLetters, EventingError } from 'nestjs-eventing';
import { type CommonFlags, count, printJson, withCommonFlags, withService } from './common.flags.js';
import { filterOf, type FilterFlags, withFilterFlags } from './filter.flags.js';
import { line } from './shown.text.js';
import type { Terminal } from './terminal.js';
import { UsageError } from './usage.error.js';

interface ChosenFlags extends CommonFlags, FilterFlags {
  readonly all?: true;
  readonly yes?: true;
}

/** `dead-letters redrive`, `edit`, `purge`. */
export function addChangeCommands(parent: Command, terminal: Terminal, fail: () => void): void {
  withCommonFlags(
    withFilterFlags(parent.command('redrive [ids...]').description('send again, each to the one listener that failed')),
  )
    .option('--all', 'all of them')
    .option('--limit <count>', 'so many at most', count, 1000)
    .option('--force', 'also to listeners that are not known here')
    .option('--yes', 'do it: needed where no ids are given')
    .action(async (ids: string[], flags: ChosenFlags & { limit: number; force?: true }) => {
      const { limit, force = false } = flags;
      const filter = chosen('redrive', ids, flags);
      const report = await withService(flags, terminal, async ({ deadLetters }) => {
        if (filter === undefined) return redriveEach(deadLetters, ids, flags.provider, force);
        await confirmed(deadLetters, filter, flags, 'redriven');
        return deadLetters.redriveAll(filter, { limit, force });
      });
      if (report.failed > 0) fail();
      const failures = report.failures.map(told);
      if (flags.json === true) return printJson(terminal, { ...report, failures });
      for (const { code, message } of failures) terminal.err(`${code} ${line(message, 1000)}\n`);
      const left = report.more ? ' There are more: run it again, or raise --limit.' : '';
      terminal.out(`${report.redriven} redriven, ${report.failed} failed.${left}\n`);
    });

  withCommonFlags(
    parent.command('edit <id>').description('change body or headers, and send it under a new id to its listener'),
  )
    .option('--body <json>', 'the whole new body')
    .option('--body-file <file>', 'the same, from a file of JSON')
    .option('--merge <json>', 'fields of the body that change; null takes one away')
    .option('--header <name=value>', 'a header that changes; may be given several times', headers, {})
    .option('--remove-header <name>', 'a header to take away; may be given several times', names, [])
    .option('--provider <name>', 'look at this provider of the configuration only')
    .option('--force', 'also to a listener that is not known here')
    .action(async (id: string, flags: CommonFlags & EditFlags) => {
      const edit = await editOf(flags, terminal);
      const { provider, force = false } = flags;
      const sent = await withService(flags, terminal, ({ deadLetters }) =>
        deadLetters.edit(id, edit, provider === undefined ? { force } : { provider, force }),
      );
      const { listener } = sent.letter;
      if (flags.json === true) return printJson(terminal, { id: sent.id, causation: sent.letter.event?.id, listener });
      terminal.out(`Sent to ${line(listener)} as ${sent.id}.\n`);
    });

  withCommonFlags(withFilterFlags(parent.command('purge [ids...]').description('throw away, for good')))
    .option('--all', 'all of them')
    .option('--yes', 'do it: needed where no ids are given')
    .action(async (ids: string[], flags: ChosenFlags) => {
      const filter = chosen('purge', ids, flags);
      const { purged, failures } = await withService(flags, terminal, async ({ deadLetters }) => {
        if (filter === undefined) return purgeEach(deadLetters, ids, flags.provider);
        await confirmed(deadLetters, filter, flags, 'thrown away for good');
        return { purged: await deadLetters.purge(filter), failures: [] };
      });
      if (failures.length > 0) fail();
      if (flags.json === true)
        return printJson(terminal, failures.length === 0 ? { purged } : { purged, failures: failures.map(told) });
      for (const { error } of failures) terminal.err(`${error.code} ${line(error.message, 1000)}\n`);
      terminal.out(`${purged} purged${failures.length === 0 ? '' : `, ${failures.length} failed`}.\n`);
    });
}

/** By what letters are chosen; `undefined`: by their ids. @throws UsageError */
function chosen(verb: string, ids: readonly string[], flags: ChosenFlags): DeadLetterFilter | undefined {
  const filter = filterOf(flags);
  if (ids.length > 0) {
    const strange = Object.keys(filter ?? {}).filter((name) => name !== 'provider');
    if (flags.all === true || strange.length > 0)
      throw new UsageError(`Ids and ${flags.all === true ? '--all' : `--${strange[0]}`} exclude each other.`);
    return undefined;
  }
  if (filter === undefined && flags.all !== true)
    throw new UsageError(`${verb}: which of them? Give ids, a filter, or --all.`);
  return filter ?? {};
}

/** @throws UsageError that says how many there are, unless `--yes` was said */
async function confirmed(
  deadLetters: DeadLetters,
  filter: DeadLetterFilter,
  flags: ChosenFlags,
  what: string,
): Promise<void> {
  if (flags.yes === true) return;
  const { letters } = await deadLetters.groups(filter);
  throw new UsageError(`${letters} dead letters would be ${what}. Say --yes to do it.`);
}

/** What could not be done with one letter. */
interface LetterFailure {
  readonly id: string;
  /** Not known of a letter that is not there. */
  readonly listener?: string;
  readonly error: EventingError;
}

const told = ({ id, listener, error: { code, message } }: LetterFailure) => ({ id, listener, code, message });

/** Does it for each id. One that fails holds none of the others up. @throws what is no error of a letter */
async function each(ids: readonly string[], work: (id: string) => Promise<unknown>): Promise<LetterFailure[]> {
  const failures: LetterFailure[] = [];
  for (const id of ids)
    try {
      await work(id);
    } catch (error) {
      if (!(error instanceof EventingError)) throw error;
      failures.push({ id, error });
    }
  return failures;
}

async function redriveEach(
  deadLetters: DeadLetters,
  ids: readonly string[],
  provider: string | undefined,
  force: boolean,
): Promise<{
  readonly redriven: number;
  readonly failed: number;
  readonly failures: readonly LetterFailure[];
  readonly more: boolean;
}> {
  const options = provider === undefined ? { force } : { provider, force };
  const failures = await each(ids, (id) => deadLetters.redrive(id, options));
  return { redriven: ids.length - failures.length, failed: failures.length, failures, more: false };
}

async function purgeEach(
  deadLetters: DeadLetters,
  ids: readonly string[],
  provider: string | undefined,
): Promise<{ readonly purged: number; readonly failures: readonly LetterFailure[] }> {
  const failures = await each(ids, async (id) => {
    const { letter } = await deadLetters.show(id, provider);
    await deadLetters.remove([letter.id], letter.provider);
  });
  return { purged: ids.length - failures.length, failures };
}

interface EditFlags {
  readonly body?: string;
  readonly bodyFile?: string;
  readonly merge?: string;
  readonly header: Readonly<Record<string, string>>;
  readonly removeHeader: readonly string[];
  readonly provider?: string;
  readonly force?: true;
}

async function editOf(flags: EditFlags, terminal: Terminal): Promise<DeadLetterEdit> {
  const { bodyFile, header, removeHeader } = flags;
  if (flags.body !== undefined && bodyFile !== undefined)
    throw new UsageError('--body and --body-file exclude each other.');
  const text = bodyFile === undefined ? flags.body : await readFile(resolve(terminal.folder, bodyFile), 'utf8');
  const removed = removeHeader.map((name) => [name, undefined] as const);
  const changed = { ...header, ...Object.fromEntries(removed) };
  return {
    ...(text === undefined ? {} : { body: object(bodyFile === undefined ? '--body' : '--body-file', text) }),
    ...(flags.merge === undefined ? {} : { merge: object('--merge', flags.merge) }),
    ...(Object.keys(changed).length === 0 ? {} : { headers: changed }),
  };
}

function object(flag: string, text: string): object {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`${flag} is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw new UsageError(`${flag} must be a JSON object.`);
}

function headers(text: string, before: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const end = text.indexOf('=');
  if (end < 1) throw new UsageError(`--header must be name=value, not "${line(text)}".`);
  return { ...before, [text.slice(0, end)]: text.slice(end + 1) };
}

const names = (name: string, before: readonly string[]): readonly string[] => [...before, name];
