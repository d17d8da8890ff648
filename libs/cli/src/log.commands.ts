import type { Command } from 'commander';
import type { HandledFilter, LogPage, LogPaging, ResendFilter, ResendReport, SentFilter } from 'nestjs-eventing';
import { type CommonFlags, count, printJson, withCommonFlags, withService } from './common.flags.js';
import { handledDocument, handledTable, sentDocument, sentTable } from './log.document.js';
import {
  handledFilterOf,
  resendFilterOf,
  sentFilterOf,
  withHandledFlags,
  withResendFlags,
  withSentFlags,
} from './log.flags.js';
import { line } from './shown.text.js';
import type { Terminal } from './terminal.js';
import { UsageError } from './usage.error.js';

interface PageFlags extends CommonFlags {
  readonly limit: number;
  readonly cursor?: string;
}

interface ResendFlags extends CommonFlags, ResendFilter {
  readonly limit: number;
  readonly all?: true;
  readonly force?: true;
  readonly dryRun?: true;
  readonly yes?: true;
}

/** `log sent`, `handled`, `resend`. */
export function addLogCommands(parent: Command, terminal: Terminal, fail: () => void): void {
  withPageFlags(withSentFlags(parent.command('sent').description('what went through the outbox, oldest first'))).action(
    async (flags: PageFlags & SentFilter) => {
      const page = await withService(flags, terminal, ({ log }) => log.sent(sentFilterOf(flags), pagingOf(flags)));
      if (flags.json === true) return printJson(terminal, { ...page, entries: page.entries.map(sentDocument) });
      printPage(terminal, page, () => sentTable(page.entries, terminal.width));
    },
  );

  withPageFlags(
    withHandledFlags(
      parent.command('handled').description('what listeners handled inside the inbox, and what any could not handle'),
    ),
  ).action(async (flags: PageFlags & HandledFilter) => {
    const page = await withService(flags, terminal, ({ log }) => log.handled(handledFilterOf(flags), pagingOf(flags)));
    if (flags.json === true) return printJson(terminal, { ...page, entries: page.entries.map(handledDocument) });
    printPage(terminal, page, () => handledTable(page.entries, terminal.width));
  });

  withCommonFlags(
    withResendFlags(parent.command('resend').description('send again what failed: from the outbox, and to listeners')),
  )
    .option('--all', 'all of it')
    .option('--limit <count>', 'so many at most', count, 1000)
    .option('--force', 'also to listeners that are not known here')
    .option('--dry-run', 'only say how many there are')
    .option('--yes', 'do it')
    .action(async (flags: ResendFlags) => {
      const filter = resendFilterOf(flags);
      if (Object.keys(filter).length === 0 && flags.all !== true)
        throw new UsageError('resend: which of them? Give a filter, or --all.');
      const { limit, force = false, dryRun = false } = flags;
      const report = await withService(flags, terminal, async ({ log }) => {
        if (dryRun || flags.yes === true) return log.resend(filter, { limit, force, dryRun });
        const { sent, handled } = await log.resend(filter, { limit, dryRun: true });
        throw new UsageError(`${numbers(sent, handled)} would be sent again. Say --yes to do it.`);
      });
      printReport(terminal, flags, report, fail);
    });
}

function withPageFlags(command: Command): Command {
  return withCommonFlags(command)
    .option('--limit <count>', 'so many at most, up to 1000', count, 50)
    .option('--cursor <text>', 'go on where the page before ended');
}

const pagingOf = ({ limit, cursor }: PageFlags): LogPaging => (cursor === undefined ? { limit } : { limit, cursor });

function printPage(terminal: Terminal, page: LogPage<unknown>, text: () => string): void {
  if (page.entries.length === 0 && page.cursor === undefined) return terminal.out('Nothing.\n');
  if (page.entries.length > 0) terminal.out(text());
  if (page.cursor !== undefined) terminal.out(`There may be more: --cursor ${page.cursor}\n`);
}

function printReport(terminal: Terminal, flags: ResendFlags, report: ResendReport, fail: () => void): void {
  if (report.failed > 0) fail();
  const failures = report.failures.map(({ id, listener, error: { code, message } }) => ({
    id,
    listener,
    code,
    message,
  }));
  if (flags.json === true) return printJson(terminal, { ...report, failures });
  for (const { code, message } of failures) terminal.err(`${code} ${line(message, 1000)}\n`);
  const left = report.more ? ' There are more: run it again, or raise --limit.' : '';
  const done = flags.dryRun === true ? 'would be sent again' : `sent again, ${report.failed} failed`;
  terminal.out(`${numbers(report.sent, report.handled)} ${done}.${left}\n`);
}

const numbers = (sent: number, handled: number): string =>
  `${sent} failed ${sent === 1 ? 'send' : 'sends'} and ${handled} failed ${handled === 1 ? 'handling' : 'handlings'}`;
