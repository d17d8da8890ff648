import type { Command } from 'commander';
import { type CommonFlags, printJson, withCommonFlags, withService } from './common.flags.js';
import { line } from './shown.text.js';
import type { Terminal } from './terminal.js';

interface Migrated {
  readonly provider: string;
  readonly kind: string;
  readonly done: readonly string[];
}

/** `migrate`: tables and the like, for each provider that keeps some. */
export function addMigrateCommand(program: Command, terminal: Terminal): void {
  withCommonFlags(
    program.command('migrate').description('create or change what providers keep in databases, up to this version'),
  )
    .option('--provider <name>', 'that of this provider of the configuration only')
    .action(async (flags: CommonFlags & { provider?: string }) => {
      const migrated = await withService(flags, terminal, async ({ factories, log }) => {
        const results: Migrated[] = [];
        for (const [provider, factory, context] of factories) {
          if (factory.migrate === undefined || (flags.provider ?? provider) !== provider) continue;
          results.push({ provider, kind: factory.kind, done: await factory.migrate(context) });
        }
        // Its tables are those of outbox and inbox, which have no provider.
        if (log.migrate !== undefined && flags.provider === undefined)
          results.push({ provider: 'log', kind: 'outbox, inbox', done: await log.migrate() });
        return results;
      });
      if (flags.json === true) return printJson(terminal, { migrated });
      if (migrated.length === 0) return terminal.out('No provider here has anything to migrate.\n');
      for (const { provider, kind, done } of migrated)
        terminal.out(
          done.length === 0
            ? `${provider} (${kind}) is up to date.\n`
            : `${provider} (${kind}):\n${done.map((what) => `  ${line(what)}\n`).join('')}`,
        );
    });
}
