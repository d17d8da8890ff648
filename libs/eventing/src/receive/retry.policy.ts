export interface RetryOptions {
  /** How often the listener is called in all, the first time included. @default 5 */
  readonly attempts?: number;
  /** Milliseconds before the second attempt. @default 200 */
  readonly delay?: number;
  /** What each further delay is multiplied by. @default 2 */
  readonly factor?: number;
  /** Longest delay in milliseconds, before up to a fifth is added by chance. @default 30000 */
  readonly maxDelay?: number;
  /**
   * True: a failed event goes to the service's retry address and others overtake it. False: it holds its lane.
   * @default false for events with a key, true for events without
   */
  readonly move?: boolean;
}

/** Milliseconds for which an event may hold its lane in all, from its first failure. */
export const LONGEST_HOLD = 5 * 60_000;

/** How much of a delay is added by chance, so that what failed together is not retried together. */
const JITTER = 0.2;

/** Retry options, resolved. */
export class RetryPolicy {
  readonly attempts: number;
  readonly move: boolean | undefined;
  readonly #delay: number;
  readonly #factor: number;
  readonly #maxDelay: number;

  constructor(options: RetryOptions = {}) {
    this.attempts = options.attempts ?? 5;
    this.move = options.move;
    this.#delay = options.delay ?? 200;
    this.#factor = options.factor ?? 2;
    this.#maxDelay = options.maxDelay ?? 30_000;
  }

  /** What cannot be used, a line each; a policy that has any must not be. */
  get problems(): string[] {
    const checks: readonly (readonly [string, number, boolean])[] = [
      ['attempts', this.attempts, Number.isSafeInteger(this.attempts) && this.attempts >= 1],
      ['delay', this.#delay, this.#delay >= 0],
      ['factor', this.#factor, this.#factor >= 1],
      ['maxDelay', this.#maxDelay, this.#maxDelay >= 0],
    ];
    return checks
      .filter(([, value, fine]) => !Number.isFinite(value) || !fine)
      .map(([option, value]) => `retry.${option} cannot be ${value}`);
  }

  /** Milliseconds to wait after the attempt of this number failed; `undefined` when it was the last. Jitter only adds. */
  delayAfter(attempt: number, random: () => number = Math.random): number | undefined {
    if (attempt >= this.attempts) return undefined;
    // The power may be infinite, and infinitely often nothing is no number.
    const factor = Math.min(this.#factor ** (attempt - 1), Number.MAX_VALUE);
    return Math.ceil(Math.min(this.#delay * factor, this.#maxDelay) * (1 + JITTER * random()));
  }
}
