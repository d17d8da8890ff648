import type { Command } from 'commander';
import { EventingError, type Replay, type ReplayOptions, type ReplayReport } from 'nestjs-eventing';
import { type CommonFlags, printJson, withCommonFlags } from './common.flags.js';
import { readConfig } from './config.file.js';
import { time } from './filter.flags.js';
import { ReplayApplication } from './replay.application.js';
import type { Terminal } from './terminal.js';
import { UsageError } from './usage.error.js';

interface ReplayFlags extends CommonFlags {
  readonly from: string;
  readonly channel?: string;
}

/** `replay`: a listener of the application reads again, in this process. */
export function addReplayCommand(program: Command, terminal: Terminal, fail: () => void): void {
  withCommonFlags(
    program
      .command('replay <listener>')
      .description('have a listener of the application handle again what it has had, in this process'),
  )
    .requiredOption('--from <position>', 'earliest, an ISO date, 2h or 7d ago, or positions as JSON: {"orders/0":"42"}')
    .option('--channel <name>', 'only what lies on this one of its channels')
    .action(async (listener: string, flags: ReplayFlags) => {
      const { channel } = flags;
      const from = positionOf(flags.from);
      const { application } = await readConfig(terminal.folder, flags.config);
      if (application === undefined)
        throw new EventingError(
          'EVT_INVALID_OPTIONS',
          'The configuration names no application: a replay runs its listeners. Export one (export const application = () => AppModule).',
        );
      const say = (text: string): void => terminal.err(`${text}\n`);
      const app = await ReplayApplication.boot(application, { say, verbose: flags.verbose === true });
      let report: ReplayReport;
      try {
        const replay = await app.replays.start(
          channel === undefined ? { listener, from } : { listener, from, channel },
        );
        report = await interruptible(replay, say);
      } finally {
        await app.close();
      }
      if (!report.complete || report.deadLettered > 0) fail();
      if (flags.json === true) return printJson(terminal, { listener, ...report });
      const { handled, skipped, deadLettered, discarded } = report;
      const end = report.complete ? '' : ' It is not complete.';
      terminal.out(
        `${handled} handled, ${skipped} skipped, ${deadLettered} dead letters, ${discarded} discarded.${end}\n`,
      );
    });
}

/** Ctrl-C ends it in good order: what is being handled is handled. */
async function interruptible(replay: Replay, say: (text: string) => void): Promise<ReplayReport> {
  const stop = (): void => {
    say('Stops after what is being handled.');
    void replay.stop();
  };
  process.once('SIGINT', stop);
  try {
    return await replay.ended;
  } finally {
    process.off('SIGINT', stop);
  }
}

/** @throws UsageError */
function positionOf(text: string): ReplayOptions['from'] {
  if (text === 'earliest') return text;
  if (!text.startsWith('{')) return moment(text);
  try {
    const positions: unknown = JSON.parse(text);
    if (
      typeof positions === 'object' &&
      positions !== null &&
      Object.values(positions).every((each) => typeof each === 'string')
    )
      return { positions: positions as Readonly<Record<string, string>> };
  } catch {
    // Said below.
  }
  throw new UsageError('--from: positions are a JSON object of texts by source, such as {"orders/0":"42"}.');
}

function moment(text: string): number {
  try {
    return time(text);
  } catch {
    throw new UsageError(
      '--from must be earliest, a date such as 2026-11-20T12:00Z, 30m, 2h, 7d ago, or positions as JSON.',
    );
  }
}
