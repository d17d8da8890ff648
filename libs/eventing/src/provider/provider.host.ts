import { EventingError } from '../errors/eventing.error.js';
import { PublishBuffer, type PublishBufferOptions } from '../send/publish.buffer.js';
import type { ChannelPlan, EventProvider, ProviderContext, ProviderFactory } from './event-provider.js';

/** One provider of an application, from its making to its end: connection, publish buffer, status. */
export class ProviderHost {
  readonly name: string;
  readonly provider: EventProvider;
  readonly buffer: PublishBuffer;
  /** Bytes of the largest body that may be sent: what the application allows and the provider can. */
  readonly maxBodyBytes: number;
  #connecting: Promise<void> | undefined;
  #stopped: EventingError | undefined;
  #status: 'connected' | 'disconnected' = 'disconnected';

  constructor(
    factory: ProviderFactory,
    context: Omit<ProviderContext, 'onStatus'>,
    buffer: Omit<PublishBufferOptions, 'clock' | 'publishTimeout'>,
    private readonly channels: (provider: string) => readonly ChannelPlan[],
  ) {
    this.name = context.name;
    const { logger, clock, publishTimeout } = context;
    this.provider = factory.create({
      ...context,
      onStatus: (status, cause) => {
        if (status === this.#status) return;
        this.#status = status;
        if (status === 'connected') logger.log(`Connected to ${this.provider.kind}`);
        else
          logger.warn(`Disconnected from ${this.provider.kind}${cause instanceof Error ? `: ${cause.message}` : ''}`);
      },
    });
    this.maxBodyBytes = Math.min(context.maxBodyBytes, this.provider.abilities.largestMessage);
    this.buffer = new PublishBuffer({ ...buffer, clock, publishTimeout });
  }

  /** Somebody sends to it or listens on it. */
  get used(): boolean {
    return this.#connecting !== undefined;
  }

  get status(): 'connected' | 'disconnected' {
    return this.#status;
  }

  /**
   * Connects, once. Called by the start, or by the first send if that comes earlier: a module that sends while it
   * initializes would otherwise wait for a start that waits for it.
   */
  connect(): Promise<void> {
    if (this.#stopped !== undefined) return Promise.reject(this.#stopped);
    this.#connecting ??= this.provider.start(this.channels(this.name)).then(() => this.buffer.connect(this.provider));
    // Whoever awaits the promise sees the failure; here it only must not count as unhandled.
    this.#connecting.catch((error: unknown) => {
      const text = `${this.name} (${this.provider.kind}) did not start: ${error instanceof Error ? error.message : String(error)}`;
      this.buffer.close(
        error instanceof EventingError ? error : new EventingError('EVT_CONNECTION', text, { cause: error }),
      );
    });
    return this.#connecting;
  }

  /** Publishes what was sent, at most for `milliseconds`, refuses the rest, and closes the connections. */
  async stop(flush: (open: Promise<void>) => Promise<void>): Promise<void> {
    if (this.#connecting !== undefined) await flush(this.buffer.flushed());
    const text = `The application is shutting down: nothing is sent to "${this.name}" any more.`;
    this.#stopped = new EventingError('EVT_NOT_RUNNING', text);
    this.buffer.close(this.#stopped);
    await this.provider.stop();
  }
}
