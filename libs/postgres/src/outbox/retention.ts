import type { Clock, ProviderLogger, Timer } from 'nestjs-eventing';

/** How often what is old is looked for, in milliseconds; and how much is deleted by one statement. */
const INTERVAL = 60_000;
export const PURGED = 1_000;

/** Deletes what is old, in batches, so that nothing is locked for long. */
export class Retention {
  #timer: Timer | undefined;
  #purging: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(
    /** Deletes up to `PURGED` rows. @returns how many */
    private readonly purge: () => Promise<number>,
    private readonly clock: Clock,
    private readonly logger: ProviderLogger,
    /** Milliseconds. */
    private readonly interval = INTERVAL,
  ) {}

  start(): void {
    this.#timer = this.clock.setTimeout(() => {
      this.#purging = this.#purgeAll().then(() => (this.#stopped ? undefined : this.start()));
    }, this.interval);
  }

  /** Resolves when no statement runs. Never rejects. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#purging;
  }

  async #purgeAll(): Promise<void> {
    try {
      while (!this.#stopped && (await this.purge()) === PURGED);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.logger.warn(`What is old could not be deleted, and is tried again later: ${why}`);
    }
  }
}
