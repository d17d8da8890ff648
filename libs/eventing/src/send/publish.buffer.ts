import type { Clock, Timer } from '../clock.js';
import { EventingError } from '../errors/eventing.error.js';
import type { EventProvider, OutgoingMessage, PublishFailure } from '../provider/event-provider.js';
import { CallOrder, Slot } from './call.order.js';
import { laneOf, type Sink } from './sink.js';

export interface PublishBufferOptions {
  readonly maxEvents: number;
  readonly maxBytes: number;
  /** Milliseconds for which sends wait for company; 0: until the end of this turn of the event loop. */
  readonly linger: number;
  /** Milliseconds for which a send waits for the first connection. */
  readonly publishTimeout: number;
  readonly clock: Clock;
}

/** Gathers the sends of one turn into one batch for the provider, each still with an answer of its own. Bounded. */
export class PublishBuffer implements Sink {
  readonly #order = new CallOrder((slot) => this.#push(slot));
  #ready: Slot[] = [];
  #scheduled = false;
  #open = 0;
  #bytes = 0;
  #provider: EventProvider | undefined;
  #closed: EventingError | undefined;
  #patience: Timer | undefined;
  readonly #idle = new Set<() => void>();

  constructor(private readonly options: PublishBufferOptions) {}

  /** Sends that have no answer yet. */
  get open(): number {
    return this.#open;
  }

  reserve(channel: string, key: string | undefined, resolve: () => void, reject: (error: Error) => void): Slot {
    if (this.#closed !== undefined) throw this.#closed;
    const { maxEvents, clock } = this.options;
    if (this.#open >= maxEvents)
      throw full(`${maxEvents} sends are open: await some of them, or raise buffer.maxEvents.`);
    const since = this.#provider === undefined ? clock.now() : 0;
    const slot = new Slot(laneOf(channel, key), since, resolve, reject);
    this.#open++;
    this.#order.reserve(slot);
    return slot;
  }

  fill(slot: Slot, message: OutgoingMessage): void {
    const bytes = message.body.byteLength;
    const error =
      this.#closed ??
      (this.#bytes + bytes > this.options.maxBytes
        ? full(`${this.options.maxBytes} bytes wait to be published: await some sends, or raise buffer.maxBytes.`)
        : undefined);
    if (error !== undefined) {
      this.cancel(slot);
      slot.reject(error);
      return;
    }
    this.#bytes += bytes;
    this.#order.fill(slot, message);
  }

  cancel(slot: Slot): void {
    this.#open--;
    this.#order.cancel(slot);
    this.#lookIdle();
  }

  /** Publishing can begin: what was sent before goes first. */
  connect(provider: EventProvider): void {
    this.#provider = provider;
    this.#patience?.cancel();
    this.#schedule();
  }

  /** Resolves when every open send has its answer. */
  flushed(): Promise<void> {
    return new Promise((resolve) => {
      this.#idle.add(resolve);
      this.#lookIdle();
    });
  }

  /** Refuses further sends, and those that no connection has taken. */
  close(error: EventingError): void {
    this.#closed = error;
    this.#patience?.cancel();
    for (const slot of this.#ready.splice(0)) this.#giveUp(slot, error);
  }

  #push(slot: Slot): void {
    this.#ready.push(slot);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#ready.length === 0) return;
    if (this.#provider === undefined) return this.#bePatient();
    this.#scheduled = true;
    const { linger, clock } = this.options;
    if (linger > 0) clock.setTimeout(() => this.#flush(), linger);
    else setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#scheduled = false;
    const slots = this.#ready;
    const provider = this.#provider;
    if (slots.length === 0 || provider === undefined) return;
    this.#ready = [];
    provider.publish(slots.map((slot) => slot.message as OutgoingMessage)).then(
      (failures) => this.#answer(slots, failures),
      (error: unknown) => {
        const cause = error instanceof Error ? error : new Error(String(error));
        this.#answer(
          slots,
          slots.map((_, index) => ({ index, error: cause, indeterminate: true })),
        );
      },
    );
  }

  #answer(slots: readonly Slot[], failures: readonly PublishFailure[]): void {
    const failed = failures.length === 0 ? undefined : new Map(failures.map((failure) => [failure.index, failure]));
    this.#open -= slots.length;
    for (let index = 0; index < slots.length; index++) {
      const slot = slots[index] as Slot;
      this.#bytes -= slot.message?.body.byteLength ?? 0;
      const failure = failed?.get(index);
      if (failure === undefined) slot.resolve();
      else slot.reject(publishError(slot, failure));
    }
    this.#lookIdle();
  }

  /** For slots that wait for the first connection. */
  #giveUp(slot: Slot, error: Error): void {
    this.#open--;
    this.#bytes -= slot.message?.body.byteLength ?? 0;
    slot.reject(error);
    this.#lookIdle();
  }

  /** While there is no first connection, one timer gives up what has waited too long. */
  #bePatient(): void {
    const oldest = this.#ready[0];
    if (oldest === undefined || this.#patience !== undefined) return;
    const { clock, publishTimeout } = this.options;
    const look = (): void => {
      this.#patience = undefined;
      const limit = clock.now() - publishTimeout;
      const waiting = this.#ready;
      this.#ready = waiting.filter((slot) => slot.since > limit);
      const text = `There was no connection within ${publishTimeout} ms: see that the broker runs, or raise publishTimeout.`;
      for (const slot of waiting)
        if (slot.since <= limit) this.#giveUp(slot, new EventingError('EVT_PUBLISH_TIMEOUT', text));
      this.#bePatient();
    };
    this.#patience = clock.setTimeout(look, Math.max(0, oldest.since + publishTimeout - clock.now()));
  }

  #lookIdle(): void {
    if (this.#open > 0 || this.#idle.size === 0) return;
    for (const resolve of this.#idle) resolve();
    this.#idle.clear();
  }
}

const full = (text: string): EventingError => new EventingError('EVT_BUFFER_FULL', text);

function publishError(slot: Slot, { error, indeterminate }: PublishFailure): EventingError {
  if (error instanceof EventingError && error.indeterminate === indeterminate) return error;
  const code = error instanceof EventingError ? error.code : 'EVT_PUBLISH_FAILED';
  const text = `The event was not published to "${slot.message?.channel ?? ''}": ${error.message}`;
  return new EventingError(code, text, { cause: error, indeterminate });
}
