/** What one round of one subject took. */
export interface Sample {
  readonly events: number;
  /** Wall-clock nanoseconds. */
  readonly wall: number;
  /** CPU nanoseconds of this process, all threads. */
  readonly cpu: number;
  /** Bytes of memory that this process held at the end: heap, buffers, code. */
  readonly resident: number;
  /** Latencies in milliseconds, where they were taken. */
  readonly latencies?: readonly number[];
  /** Statements that a database was asked to run, where they were counted. */
  readonly statements?: number;
}

/** Runs `work`, which handles `events` events, and reports its wall-clock and CPU time. */
export async function sample(events: number, work: () => Promise<void>): Promise<Sample> {
  const cpu = process.cpuUsage();
  const wall = process.hrtime.bigint();
  await work();
  const took = Number(process.hrtime.bigint() - wall);
  const used = process.cpuUsage(cpu);
  return { events, wall: took, cpu: (used.user + used.system) * 1000, resident: process.memoryUsage.rss() };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? at(sorted, middle) : (at(sorted, middle - 1) + at(sorted, middle)) / 2;
}

/** @param share of 0 to 1 */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return at(sorted, Math.min(sorted.length - 1, Math.floor(sorted.length * share)));
}

function at(values: readonly number[], index: number): number {
  const value = values[index];
  if (value === undefined) throw new Error('nothing was measured');
  return value;
}
