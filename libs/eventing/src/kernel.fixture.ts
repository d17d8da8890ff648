import { EventingError, type ProviderContext, type ProviderLogger } from 'nestjs-eventing';
import { VirtualClock } from '../../testing/src/virtual.clock.js';

export { VirtualClock };

/** Resolves when the condition holds; fails after two seconds of real time. Lets the event loop turn, moves no clock. */
export async function until(condition: () => boolean, what = String(condition)): Promise<void> {
  const deadline = performance.now() + 2000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`in two seconds this did not come true: ${what}`);
    await turn();
  }
}

/** One turn of the event loop: every microtask and every immediate that waits. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** What a promise rejects with, as the coded error that it must be. */
export async function refusal(promise: Promise<unknown>): Promise<EventingError> {
  const outcome = await promise.then(
    () => 'it was not refused',
    (error: unknown) => error,
  );
  if (outcome instanceof EventingError) return outcome;
  throw new Error(
    `no EventingError: ${outcome instanceof Error ? (outcome.stack ?? outcome.message) : String(outcome)}`,
  );
}

/** The same for a call. */
export function refusalOf(call: () => unknown): EventingError {
  try {
    call();
  } catch (error) {
    if (error instanceof EventingError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

/** A promise that is settled from outside. */
export class Gate<T = void> {
  open!: (value: T) => void;
  fail!: (error: unknown) => void;
  readonly promise = new Promise<T>((resolve, reject) => {
    this.open = resolve;
    this.fail = reject;
  });
}

/** The same numbers in every run: mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export class RecordingLogger implements ProviderLogger {
  readonly lines: string[] = [];
  readonly log = (message: string): void => void this.lines.push(`log ${message}`);
  readonly warn = (message: string): void => void this.lines.push(`warn ${message}`);
  readonly error = (message: string): void => void this.lines.push(`error ${message}`);
  readonly debug = (message: string): void => void this.lines.push(`debug ${message}`);

  having(part: string): string[] {
    return this.lines.filter((line) => line.includes(part));
  }
}

const silent = (): void => undefined;

export function contextOf(parts: Partial<ProviderContext> = {}): ProviderContext {
  return {
    name: 'default',
    service: 'shop',
    instance: 'foreign',
    topology: 'create',
    publishTimeout: 30_000,
    rebalanceDrain: 5_000,
    maxBodyBytes: 1_000_000,
    clock: new VirtualClock(),
    logger: new RecordingLogger(),
    onStatus: silent,
    ...parts,
  };
}
