import type { Clock } from 'nestjs-eventing';

/** A sleep that can be ended. */
export class Pause {
  #rung = false;
  #end: (() => void) | undefined;

  constructor(private readonly clock: Clock) {}

  /** Ends the present sleep, or the next one before it begins. */
  ring(): void {
    this.#rung = true;
    this.#end?.();
  }

  /** @param ms milliseconds at most; Infinity: without a timer, until it is ended */
  async sleep(ms: number): Promise<void> {
    if (!this.#rung)
      await new Promise<void>((resolve) => {
        const timer = ms === Infinity ? undefined : this.clock.setTimeout(resolve, ms);
        this.#end = () => {
          timer?.cancel();
          resolve();
        };
      });
    this.#end = undefined;
    this.#rung = false;
  }
}
