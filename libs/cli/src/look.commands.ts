import type { Command } from 'commander';
import { type CommonFlags, count, printJson, withCommonFlags, withService } from './common.flags.js';
import { filterOf, type FilterFlags, withFilterFlags } from './filter.flags.js';
import { grouped, groupTable, letterPage, letterTable, listed, whole } from './letter.document.js';
import type { Terminal } from './terminal.js';

/** `dead-letters list`, `groups`, `show`: what changes nothing. */
export function addLookCommands(parent: Command, terminal: Terminal): void {
  withCommonFlags(withFilterFlags(parent.command('list').description('dead letters, oldest first')))
    .option('--limit <count>', 'so many at most, up to 1000', count, 50)
    .option('--cursor <text>', 'go on where the list before ended')
    .action(async (flags: CommonFlags & FilterFlags & { limit: number; cursor?: string }) => {
      const { limit, cursor } = flags;
      const paging = cursor === undefined ? { limit } : { limit, cursor };
      const page = await withService(flags, terminal, ({ deadLetters }) =>
        deadLetters.list(filterOf(flags) ?? {}, paging),
      );
      if (flags.json === true) return printJson(terminal, { letters: page.letters.map(listed), cursor: page.cursor });
      if (page.letters.length === 0) return terminal.out('No dead letters.\n');
      terminal.out(letterTable(page.letters, terminal.width));
      if (page.cursor !== undefined) terminal.out(`There may be more: --cursor ${page.cursor}\n`);
    });

  withCommonFlags(
    withFilterFlags(parent.command('groups').description('how many there are by listener, reason and error')),
  ).action(async (flags: CommonFlags & FilterFlags) => {
    const found = await withService(flags, terminal, ({ deadLetters }) => deadLetters.groups(filterOf(flags) ?? {}));
    if (flags.json === true) return printJson(terminal, { ...found, groups: found.groups.map(grouped) });
    if (found.letters === 0) return terminal.out('No dead letters.\n');
    terminal.out(groupTable(found.groups, terminal.width));
    const rest = found.ungrouped === 0 ? '' : `, ${found.ungrouped} of them in further groups`;
    terminal.out(`${found.letters} dead letters${rest}.\n`);
  });

  withCommonFlags(parent.command('show <id>').description('one dead letter: error, headers, body'))
    .option('--provider <name>', 'look at this provider of the configuration only')
    .action(async (id: string, flags: CommonFlags & { provider?: string }) => {
      const view = await withService(flags, terminal, ({ deadLetters }) => deadLetters.show(id, flags.provider));
      if (flags.json === true) return printJson(terminal, whole(view));
      terminal.out(letterPage(view));
    });
}
