import type { Clock } from '../clock.js';
import type { ListenerDescriptor } from '../registry/listener.descriptor.js';
import type { DeliveryJob } from './delivery.job.js';
import type { Failure } from './failure.js';
import type { Settler } from './settler.js';

/** Where a listener stopped that is told to stop when the attempts at an event are exhausted. */
export interface StoppedAt {
  /** The listener, as `EventListeners.resume` takes it. */
  readonly listener: string;
  readonly channel: string;
  readonly position: string;
  readonly event?: string;
  readonly id?: string;
  readonly error: { readonly name: string; readonly message: string };
  /** Milliseconds since 1970. */
  readonly since: number;
}

const FEWEST = 1024;

/** A subscription that handles nothing more until it is resumed, and what it holds meanwhile: no more than its window. */
export class ListenerStop {
  #at: StoppedAt | undefined;
  #parked: DeliveryJob[] = [];
  /** How many it has before those that are gone are forgotten. */
  #room = FEWEST;
  /** Told when it stops. */
  onStop: () => void = () => undefined;

  constructor(
    private readonly settler: Settler,
    private readonly clock: Clock,
  ) {}

  get at(): StoppedAt | undefined {
    return this.#at;
  }

  /** Says so, and remembers the first: what was at work then may fail as well. The attempts at it are counted anew. */
  stop(job: DeliveryJob, { label, name: listener }: ListenerDescriptor, failure: Failure): void {
    const remedy = `EventListeners.resume('${listener}') tries it again; a listener that throws RejectEvent makes it a dead letter`;
    const text = `${label} failed at its last attempt and has stopped, it handles nothing more here. ${remedy}`;
    this.settler.say('error', job, text, failure.error);
    job.attempt = 1;
    job.firstFailedAt = undefined;
    if (this.#at !== undefined) return;
    const { channel, position } = job.delivery;
    // Whoever threw it may have put anything into its fields.
    const { name, message }: { readonly name: unknown; readonly message: unknown } = failure.error;
    const known = job.read?.message;
    this.#at = {
      listener,
      channel,
      position,
      ...(known === undefined ? {} : { event: known.name.slice(0, 200), id: known.id.slice(0, 200) }),
      error: { name: String(name).slice(0, 200), message: String(message).slice(0, 2000) },
      since: this.clock.now(),
    };
    this.onStop();
  }

  /** It keeps its lane, and takes no place. */
  park(job: DeliveryJob): void {
    if (this.#parked.length >= this.#room) {
      this.#parked = this.#parked.filter(isThere);
      this.#room = Math.max(FEWEST, 2 * this.#parked.length);
    }
    this.#parked.push(job);
  }

  /** Those that are there still have their turn again, in the order in which they came here. */
  resume(again: (job: DeliveryJob) => void): void {
    const parked = this.#parked;
    this.#at = undefined;
    this.#parked = [];
    for (const job of parked.filter(isThere)) again(job);
  }
}

/** One that was released, or moved away, is `gone`. */
const isThere = ({ state }: DeliveryJob): boolean => state === 'waiting';
