import { median, percentile, type Sample } from './measure.js';
import { type RunningSubject, startSubject } from './subject.js';

/** One line of the results. `ratio` is ours by the reference's; `met` tells whether it reaches what was asked. */
export interface Result {
  readonly bench: string;
  readonly metric: string;
  readonly system: string;
  readonly value: number;
  readonly unit: string;
  readonly reference: string;
  readonly referenceValue: number;
  readonly ratio: number;
  readonly target?: { readonly text: string; readonly met: boolean };
}

export interface Comparison {
  readonly bench: string;
  /** Module beside this one that exports both subjects. */
  readonly module: string;
  readonly ours: string;
  readonly reference: string;
  /** Where the reference is, if it is in another. */
  readonly referenceModule?: string;
  /** What the two are called in the table. */
  readonly names: readonly [ours: string, reference: string];
  readonly settings?: Record<string, string>;
  readonly referenceSettings?: Record<string, string>;
  readonly rounds: number;
  readonly warmUp: number;
  readonly metrics: readonly Metric[];
}

export interface Metric {
  readonly metric: string;
  readonly unit: string;
  readonly of: (sample: Sample) => number;
  readonly target?: {
    readonly text: string;
    readonly met: (ratio: number, ours: number, reference: number) => boolean;
  };
}

export const rate = (target?: Metric['target']): Metric =>
  withTarget({ metric: 'rate', unit: 'events/s', of: ({ events, wall }) => events / (wall / 1e9) }, target);
export const cpu = (target?: Metric['target']): Metric =>
  withTarget({ metric: 'client CPU', unit: 'µs/event', of: (sample) => sample.cpu / 1000 / sample.events }, target);
/** For `each` of what it handled, one after the other: what the rate says, the other way round. */
export const time = (each: string, target?: Metric['target']): Metric =>
  withTarget({ metric: 'time', unit: `µs/${each}`, of: ({ events, wall }) => wall / 1000 / events }, target);
/** For `each` of so many events together. */
export const statements = (each: string, together: number, target?: Metric['target']): Metric =>
  withTarget(
    {
      metric: 'statements',
      unit: `of SQL/${each}`,
      of: ({ events, statements: run = NaN }) => run / (events / together),
    },
    target,
  );
export const memory = (target?: Metric['target']): Metric =>
  withTarget({ metric: 'resident memory', unit: 'MiB', of: ({ resident }) => resident / 1024 / 1024 }, target);
export const latency = (share: number, target?: Metric['target']): Metric =>
  withTarget(
    { metric: `p${share * 100}`, unit: 'ms', of: ({ latencies }) => percentile(latencies ?? [], share) },
    target,
  );

function withTarget(metric: Metric, target: Metric['target']): Metric {
  return target === undefined ? metric : { ...metric, target };
}

/** Runs both in turn, ours and the reference, and compares medians. */
export async function compare(comparison: Comparison): Promise<Result[]> {
  const { module, referenceModule = module, settings = {}, referenceSettings = settings } = comparison;
  const file = (name: string): string => new URL(`./${name}.js`, import.meta.url).href;
  const reference = await startSubject(file(referenceModule), comparison.reference, referenceSettings);
  let ours: RunningSubject | undefined;
  const samples: { ours: Sample; reference: Sample }[] = [];
  try {
    ours = await startSubject(file(module), comparison.ours, settings);
    for (let round = 0; round < comparison.warmUp + comparison.rounds; round++) {
      const pair = { reference: await reference.round(), ours: await ours.round() };
      if (round >= comparison.warmUp) samples.push(pair);
    }
    await reference.close();
    await ours.close();
  } finally {
    reference.kill();
    ours?.kill();
  }
  return comparison.metrics.map(({ metric, unit, of, target }) => {
    const value = median(samples.map((pair) => of(pair.ours)));
    const referenceValue = median(samples.map((pair) => of(pair.reference)));
    const ratio = value / referenceValue;
    return {
      bench: comparison.bench,
      metric,
      system: comparison.names[0],
      value,
      unit,
      reference: comparison.names[1],
      referenceValue,
      ratio,
      ...(target === undefined ? {} : { target: { text: target.text, met: target.met(ratio, value, referenceValue) } }),
    };
  });
}
