import type { Clock, Timer } from 'nestjs-eventing';
import type { StompConnection } from './stomp.connection.js';

export interface AckBatchOptions {
  /** Milliseconds. */
  readonly interval: number;
  readonly threshold: number;
  readonly clock: Clock;
}

/**
 * Acknowledgements of one connection, written together. STOMP has one frame for each message (`client-individual`), so nothing is
 * ever acknowledged that was not settled, whatever the order; the cost is in the writes, and those are shared.
 */
export class AckBatch {
  /** Acknowledged in all. */
  count = 0;
  private ids: string[] = [];
  private timer: Timer | undefined;
  private soon = false;

  constructor(
    private readonly connection: StompConnection,
    private readonly options: AckBatchOptions,
  ) {}

  /** @param isLast nothing else is in work: there is nothing to wait for */
  add(id: string, isLast: boolean): void {
    this.count++;
    this.ids.push(id);
    if (this.ids.length >= this.options.threshold) this.flush();
    else if (isLast) this.flushSoon();
    else this.timer ??= this.options.clock.setTimeout(() => this.flush(), this.options.interval);
  }

  flush(): void {
    this.timer?.cancel();
    this.timer = undefined;
    if (this.ids.length === 0) return;
    const { ids } = this;
    this.ids = [];
    for (const id of ids) this.connection.send(`ACK\nid:${id}\n`);
  }

  /** What is settled in this turn of the event loop still goes with it. */
  private flushSoon(): void {
    if (this.soon) return;
    this.soon = true;
    setImmediate(() => {
      this.soon = false;
      this.flush();
    });
  }
}
