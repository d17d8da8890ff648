import type { Clock } from '../clock.js';
import type { ProviderLogger } from '../provider/event-provider.js';
import { within } from './within.js';

/** Milliseconds after the drain for all that closes. What hangs must not keep the process: orchestrators kill it at 30 s. */
const CLOSING = 5_000;
/** And for what comes after something that hung. */
const LEAST = 1_000;

export interface ShutdownOptions {
  /** Milliseconds for listeners at work, and for what they sent. */
  readonly drain: number;
  readonly clock: Clock;
  readonly logger: ProviderLogger;
}

/** The time that one shutdown has, shared by all that it does. */
export class Shutdown {
  readonly #deadline: number;

  constructor(private readonly options: ShutdownOptions) {
    this.#deadline = options.clock.now() + options.drain;
  }

  /** Milliseconds of the drain; at least one, so that what is done already is seen to be. */
  get left(): number {
    return Math.max(1, this.#deadline - this.options.clock.now());
  }

  /** As long as `work` takes, within the drain. Never rejects. */
  async drain(work: Promise<unknown>): Promise<void> {
    await within(work, this.left, this.options.clock).catch(() => undefined);
  }

  /** As long as `work` takes, within the drain and a little more; says what did not end. Never rejects. @param what for people */
  async close(what: string, work: Promise<unknown>): Promise<void> {
    const { clock, logger } = this.options;
    const patience = Math.max(LEAST, this.#deadline + CLOSING - clock.now());
    const late = `${what} did not close within ${patience} ms: it ends with the process.`;
    const failed = (error: unknown): void =>
      logger.warn(`${what} did not close well: ${error instanceof Error ? error.message : String(error)}`);
    await within(work, patience, clock).then((inTime) => inTime || logger.warn(late), failed);
  }
}
