import { Command, InvalidArgumentError, Option } from 'commander';
import { PLANTED_MISTAKES } from './planted/planted.mistakes.js';
import { reportOf } from './report.js';
import type { RunOptions } from './run.js';
import { Stage } from './stage.js';
import { SYSTEM_NAMES } from './systems/systems.js';
import type { SystemName } from './workers/worker.setup.js';

interface Flags {
  readonly events: number;
  readonly seed: number;
  readonly system?: SystemName;
  readonly faults?: number;
  readonly planted?: string;
}

/** One fault for so many events, where it is not said; and never fewer than each kind once. */
const EVENTS_A_FAULT = 1_500;
const FEWEST_FAULTS = 8;
/** Milliseconds: under the load of a long run a take-over takes its time. */
const PATIENCE = 120_000;

const program = new Command('test:reliability')
  .description('Runs a service on real brokers, kills what it consists of, and judges what came of it.')
  .option('--events <number>', 'orders, each of which makes a payment', wholeNumber, 10_000)
  .option('--seed <number>', 'of all draws', wholeNumber, Date.now() % 1_000_000)
  .addOption(new Option('--system <name>', 'only this one').choices(SYSTEM_NAMES))
  .option('--faults <number>', 'how often something is killed, stopped or cut off', wholeNumber)
  .addOption(
    new Option('--planted <name>', 'with a mistake in the package or the service, which is to be found').choices(
      PLANTED_MISTAKES.map(({ name }) => name),
    ),
  )
  .parse();

const { events, seed, system, planted, ...flags } = program.opts<Flags>();
const options: RunOptions = {
  seed,
  events,
  faults: flags.faults ?? Math.max(FEWEST_FAULTS, Math.floor(events / EVENTS_A_FAULT)),
  pause: events > 5_000 ? 12 : 100,
  patience: PATIENCE,
  say: (text) => console.log(`  ${new Date().toISOString().slice(11, 19)} ${text}`),
};
const stage = await Stage.open(PLANTED_MISTAKES.find(({ name }) => name === planted));
try {
  for (const name of system === undefined ? SYSTEM_NAMES : [system]) {
    console.log(`${name}, seed ${seed}, ${events} events, ${options.faults} faults`);
    const result = await stage.play(name, options);
    console.log(
      typeof result === 'string' ? `${name} cannot be had: ${result}` : reportOf(name, options, result, planted),
    );
    if (typeof result === 'string' || result.problems.length > 0) process.exitCode = 1;
  }
} finally {
  await stage.close();
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError('It must be a whole number.');
  return value;
}
