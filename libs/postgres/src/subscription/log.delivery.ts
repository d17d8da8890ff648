import type { Delivery, RawHeaders, Settlement } from 'nestjs-eventing';
import type { StoredEvent } from '../log/stored.event.js';
import type { SourceTracker } from './source.tracker.js';

export const OPEN = 0;
/** Being moved elsewhere; not settled until it is safe there. */
export const MOVING = 1;
export const DONE = 2;
/** Given back, to be delivered again. */
export const RELEASED = 3;

/** One event handed to the kernel. Many are alive at a time, so what is rarely asked is computed then. */
export class LogDelivery implements Delivery {
  state = OPEN;

  constructor(
    private readonly tracker: SourceTracker,
    readonly event: StoredEvent,
    readonly attempt: number,
  ) {}

  get channel(): string {
    return this.tracker.source.channel;
  }

  get key(): string | undefined {
    return this.event.key;
  }

  get headers(): RawHeaders {
    return this.event.headers;
  }

  get body(): Uint8Array {
    return this.event.body;
  }

  get time(): number {
    return this.event.time;
  }

  get source(): string {
    return this.tracker.name;
  }

  get position(): string {
    return `${this.tracker.source.partition}@${this.event.xid}.${this.event.position}`;
  }

  /** The same event once more, after a release; that nobody tried it counts for nothing. */
  again(): LogDelivery {
    return new LogDelivery(this.tracker, this.event, this.attempt);
  }

  settle(settlement: Settlement): Promise<void> | void {
    if (this.state !== OPEN) return;
    if (settlement.kind === 'accept') {
      this.state = DONE;
      this.tracker.accepted(this);
      return;
    }
    return this.tracker.settleElse(this, settlement);
  }
}
