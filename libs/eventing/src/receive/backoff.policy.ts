/** The same pause each time. */
export interface FixedBackoff {
  readonly kind: 'fixed';
  /** Milliseconds. @default 200 */
  readonly delay?: number;
}

/** Each pause so much longer than the one before. */
export interface ExponentialBackoff {
  readonly kind: 'exponential';
  /** Milliseconds of the first pause. @default 200 */
  readonly delay?: number;
  /** What each further one is multiplied by. @default 2 */
  readonly factor?: number;
  /** The longest in milliseconds, before up to a fifth is added by chance. @default 30000 */
  readonly maxDelay?: number;
}

/**
 * How long to wait between attempts: the same for listeners and for what is sent through an outbox. A list names each pause in
 * milliseconds, and its last one is repeated.
 */
export type BackoffOptions = FixedBackoff | ExponentialBackoff | readonly number[];

/** How much of a delay is added by chance, so that what failed together is not retried together. */
const JITTER = 0.2;

/** Listed pauses at most. */
const MAX_LISTED = 1000;

/** The three kinds as one: a first pause, what it is multiplied by, and the longest; or a list. */
interface Resolved {
  readonly listed: readonly number[] | undefined;
  readonly delay: number;
  readonly factor: number;
  readonly maxDelay: number;
}

/** Backoff options, resolved. Pure: the same attempt and the same chance give the same delay. */
export class BackoffPolicy {
  readonly #resolved: Resolved;
  readonly #given: BackoffOptions;

  constructor(options: BackoffOptions = { kind: 'exponential' }) {
    this.#given = options;
    this.#resolved = resolve(options);
  }

  /** How many pauses are listed; `undefined` where they are calculated. */
  get listed(): number | undefined {
    return this.#resolved.listed?.length;
  }

  /** What cannot be used, one of `backoff.delay cannot be -1` each; a policy that has any must not be. */
  get problems(): string[] {
    const given: unknown = this.#given;
    if (typeof given !== 'object' || given === null)
      return [`backoff cannot be ${String(given)}: give a list of milliseconds, or an object with kind`];
    const { listed, delay, factor, maxDelay } = this.#resolved;
    if (listed !== undefined) return listProblems(listed);
    const { kind } = given as { readonly kind?: unknown };
    if (kind !== 'fixed' && kind !== 'exponential')
      return [`backoff.kind cannot be ${String(kind)}: there are fixed and exponential`];
    const known = kind === 'fixed' ? ['kind', 'delay'] : ['kind', 'delay', 'factor', 'maxDelay'];
    const checks: readonly (readonly [string, number, boolean])[] = [
      ['delay', delay, delay >= 0],
      ['factor', factor, factor >= 1],
      ['maxDelay', maxDelay, maxDelay >= 0],
    ];
    return [
      ...Object.keys(given)
        .filter((name) => !known.includes(name))
        .map(
          (name) => `backoff.${name.slice(0, 100)} is no option of a ${kind} backoff: there are ${known.join(', ')}`,
        ),
      ...checks
        .filter(([name, value, fine]) => known.includes(name) && (!Number.isFinite(value) || !fine))
        .map(([name, value]) => `backoff.${name} cannot be ${value}`),
    ];
  }

  /**
   * Milliseconds to wait after the attempt of this number (from 1) failed. Chance only adds to it, at most a fifth.
   * @param random from 0 to 1
   */
  delayAfter(attempt: number, random: () => number = Math.random): number {
    return Math.ceil(this.#exact(attempt) * (1 + JITTER * random()));
  }

  #exact(attempt: number): number {
    const { listed, delay, factor, maxDelay } = this.#resolved;
    if (listed !== undefined) return listed[Math.min(attempt, listed.length) - 1] ?? 0;
    // The power may be infinite, and infinitely often nothing is no number.
    return Math.min(delay * Math.min(factor ** (attempt - 1), Number.MAX_VALUE), maxDelay);
  }
}

function resolve(options: BackoffOptions): Resolved {
  const calculated = { listed: undefined, delay: 200, factor: 2, maxDelay: 30_000 };
  if (isList(options)) return { ...calculated, listed: options };
  // What a configuration file gave may be no object at all: `problems` says so.
  if (typeof options !== 'object' || options === null) return calculated;
  const { delay = 200 } = options;
  if (options.kind === 'fixed') return { listed: undefined, delay, factor: 1, maxDelay: delay };
  return { listed: undefined, delay, factor: options.factor ?? 2, maxDelay: options.maxDelay ?? 30_000 };
}

function listProblems(listed: readonly number[]): string[] {
  if (listed.length === 0) return ['backoff cannot be an empty list: set attempts: 1 for no retry'];
  if (listed.length > MAX_LISTED) return [`backoff cannot list ${listed.length} delays: ${MAX_LISTED} at most`];
  const wrong = listed.findIndex((value) => !(Number.isFinite(value) && value >= 0));
  return wrong === -1 ? [] : [`backoff[${wrong}] cannot be ${String(listed[wrong])}`];
}

const isList = (options: BackoffOptions): options is readonly number[] => Array.isArray(options);
