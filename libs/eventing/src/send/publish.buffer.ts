import type { Clock, Timer } from '../clock.js';
import { EventingError } from '../errors/eventing.error.js';
import type { EventProvider, OutgoingMessage, PublishFailure } from '../provider/event-provider.js';
import { CallOrder } from './call.order.js';
import type { PendingSend } from './pending.send.js';
import type { Sink } from './sink.js';

export interface PublishBufferOptions {
  readonly maxEvents: number;
  readonly maxBytes: number;
  /** Milliseconds for which sends wait for company; 0: until the end of this turn of the event loop. */
  readonly linger: number;
  /** Milliseconds for which a send waits for the first connection. */
  readonly publishTimeout: number;
  readonly clock: Clock;
}

/**
 * Sends that are handed over together, and so answered together: of a thousand sends, the first should not wait for the last.
 * Providers put together what comes in several calls.
 */
const PIECE = 128;

/** Gathers the sends of one turn into few batches for the provider, each still with an answer of its own. Bounded. */
export class PublishBuffer implements Sink {
  readonly #order = new CallOrder((send) => this.#push(send));
  #ready: PendingSend[] = [];
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

  reserve(send: PendingSend): void {
    this.#enter(send);
    this.#order.reserve(send);
  }

  fill(send: PendingSend, message: OutgoingMessage): void {
    if (!send.counted) this.#enter(send);
    const bytes = message.body.byteLength;
    const { maxBytes } = this.options;
    const error =
      this.#closed ??
      (this.#bytes + bytes > maxBytes
        ? full(`${maxBytes} bytes wait to be published: await some sends, or raise buffer.maxBytes.`)
        : undefined);
    if (error !== undefined) {
      this.cancel(send);
      send.reject(error);
      return;
    }
    this.#bytes += bytes;
    send.message = message;
    this.#order.fill(send);
  }

  cancel(send: PendingSend): void {
    this.#open--;
    this.#order.cancel(send);
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
    for (const send of this.#ready.splice(0)) this.#giveUp(send, error);
  }

  #enter(send: PendingSend): void {
    if (this.#closed !== undefined) throw this.#closed;
    const { maxEvents, clock } = this.options;
    if (this.#open >= maxEvents)
      throw full(`${maxEvents} sends are open: await some of them, or raise buffer.maxEvents.`);
    if (this.#provider === undefined) send.since = clock.now();
    this.#open++;
    send.counted = true;
  }

  #push(send: PendingSend): void {
    // One that waited behind another in its lane while the buffer was closed.
    if (this.#closed !== undefined) return this.#giveUp(send, this.#closed);
    this.#ready.push(send);
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
    const sends = this.#ready;
    const provider = this.#provider;
    if (sends.length === 0 || provider === undefined) return;
    this.#ready = [];
    if (sends.length <= PIECE) return this.#publish(provider, sends);
    for (let first = 0; first < sends.length; first += PIECE)
      this.#publish(provider, sends.slice(first, first + PIECE));
  }

  #publish(provider: EventProvider, sends: readonly PendingSend[]): void {
    // An async call: a provider that throws must not end the process, nor leave its senders without an answer.
    const publish = async (): Promise<readonly PublishFailure[]> =>
      provider.publish(sends.map((send) => send.message as OutgoingMessage));
    publish().then(
      (failures) => this.#answer(sends, failures),
      (error: unknown) => {
        const cause = error instanceof Error ? error : new Error(String(error));
        this.#answer(
          sends,
          sends.map((_, index) => ({ index, error: cause, indeterminate: true })),
        );
      },
    );
  }

  #answer(sends: readonly PendingSend[], failures: readonly PublishFailure[]): void {
    const failed = failures.length === 0 ? undefined : new Map(failures.map((failure) => [failure.index, failure]));
    this.#open -= sends.length;
    for (let index = 0; index < sends.length; index++) {
      const send = sends[index] as PendingSend;
      this.#bytes -= send.message?.body.byteLength ?? 0;
      const failure = failed?.get(index);
      if (failure === undefined) send.succeed();
      else send.reject(publishError(send, failure));
    }
    this.#lookIdle();
  }

  /** For sends that wait for the first connection. */
  #giveUp(send: PendingSend, error: Error): void {
    this.#open--;
    this.#bytes -= send.message?.body.byteLength ?? 0;
    send.reject(error);
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
      this.#ready = waiting.filter((send) => send.since > limit);
      const text = `There was no connection within ${publishTimeout} ms: see that the broker runs, or raise publishTimeout.`;
      for (const send of waiting)
        if (send.since <= limit) this.#giveUp(send, new EventingError('EVT_PUBLISH_TIMEOUT', text));
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

function publishError(send: PendingSend, { error, indeterminate }: PublishFailure): EventingError {
  if (error instanceof EventingError && error.indeterminate === indeterminate) return error;
  const code = error instanceof EventingError ? error.code : 'EVT_PUBLISH_FAILED';
  const text = `The event was not published to "${send.channel}": ${error.message}`;
  return new EventingError(code, text, { cause: error, indeterminate });
}
