import type { EventingError, PublishFailure } from 'nestjs-eventing';
import type { Sent } from './message.codec.js';

/** One message on its way to the broker. */
export interface Parcel {
  readonly exchange: string;
  readonly routingKey: string;
  readonly body: Buffer;
  readonly sent: Sent;
  readonly persistent: boolean;
  /** Nobody to get it is a failure. */
  readonly mandatory: boolean;
  /** Milliseconds after which the broker may drop it. */
  readonly expiration?: number;
  /** For people. */
  readonly channel: string;
}

export class QueuedParcel {
  /** It was handed to a connection at least once: the broker may have it. */
  written = false;
  done = false;
  returned = false;

  constructor(
    readonly call: PublishCall,
    readonly index: number,
    readonly parcel: Parcel,
  ) {}
}

/** One call of `publish`: counts down, and resolves with what failed. */
export class PublishCall {
  readonly parcels: QueuedParcel[] = [];
  private readonly failures: PublishFailure[] = [];
  private remaining: number;

  constructor(
    count: number,
    /** Milliseconds since 1970. */
    readonly deadline: number,
    private readonly resolve: (failures: readonly PublishFailure[]) => void,
  ) {
    this.remaining = count;
  }

  get open(): boolean {
    return this.remaining > 0;
  }

  stored(queued: QueuedParcel): void {
    if (queued.done) return;
    queued.done = true;
    this.finish();
  }

  failed(queued: QueuedParcel, error: EventingError, indeterminate: boolean): void {
    if (queued.done) return;
    queued.done = true;
    this.failures.push({ index: queued.index, error, indeterminate });
    this.finish();
  }

  private finish(): void {
    this.remaining--;
    if (this.remaining === 0) this.resolve(this.failures);
  }
}
