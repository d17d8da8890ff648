import { type Delivery, EventingError, type OutgoingMessage, type RawHeaders, type Settlement } from 'nestjs-eventing';
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
      const refusal = refusedOutput(settlement.outputs);
      if (refusal !== undefined) return Promise.reject(refusal);
      this.state = DONE;
      this.tracker.accepted(this, settlement.outputs);
      return;
    }
    return this.tracker.settleElse(this, settlement);
  }
}

/** What is sent to one subscription alone is a person's doing, and no listener's output. */
export function refusedOutput(outputs: readonly OutgoingMessage[] = []): EventingError | undefined {
  const targeted = outputs.find(({ to }) => to !== undefined);
  if (targeted === undefined) return undefined;
  return new EventingError(
    'EVT_PUBLISH_FAILED',
    `An output for ${targeted.channel} is for the subscription ${targeted.to} alone, which a transaction cannot carry: send it outside of the listener.`,
  );
}
