import { EventingError } from '../errors/eventing.error.js';
import type { OutgoingMessage, PublishFailure } from '../provider/event-provider.js';
import type { ProviderHost } from '../provider/provider.host.js';

/** Publishes by itself while the application runs: the relay of an outbox. */
export interface BackgroundPublisher {
  /** The application is connected, and its listeners are subscribed. Returns at once. */
  start(): void;
  /** Listeners have finished, and connections close next: it publishes nothing after it has resolved. Never rejects. */
  stop(): Promise<void>;
}

/**
 * Publishes messages that were encoded before, such as those of an outbox: past registry, pipelines and publish buffer. Between them
 * and what `sendEvent` sends there is no order. One an application.
 */
export class EventPublisher {
  readonly #background = new Set<BackgroundPublisher>();
  #state: 'new' | 'started' | 'stopped' = 'new';

  constructor(private readonly hosts: ReadonlyMap<string, ProviderHost>) {}

  /** The names of the providers there are. */
  get providers(): readonly string[] {
    return [...this.hosts.keys()];
  }

  /**
   * Publishes as `EventProvider.publish` does, and connects first where nobody has: resolves when the broker has taken all but the
   * messages returned. A rejection means that every message failed.
   * @throws EventingError EVT_UNKNOWN_PROVIDER, EVT_NOT_RUNNING, or what the provider did not start with
   */
  async publish(provider: string, messages: readonly OutgoingMessage[]): Promise<readonly PublishFailure[]> {
    const host = this.hosts.get(provider);
    if (host === undefined)
      throw new EventingError(
        'EVT_UNKNOWN_PROVIDER',
        `Messages for "${provider}" cannot be published: forRoot() has the providers ${this.providers.join(', ')}.`,
      );
    await host.connect();
    return host.provider.publish(messages);
  }

  /** Has it started and stopped with the application. What comes after the start is started at once. */
  attach(background: BackgroundPublisher): void {
    if (this.#state === 'stopped')
      throw new EventingError('EVT_NOT_RUNNING', 'The application is shutting down: nothing is published any more.');
    this.#background.add(background);
    if (this.#state === 'started') background.start();
  }

  /** For the runtime: everything is connected. */
  start(): void {
    if (this.#state !== 'new') return;
    this.#state = 'started';
    for (const background of this.#background) background.start();
  }

  /** For the runtime: connections close next. */
  async stop(): Promise<void> {
    this.#state = 'stopped';
    await Promise.all([...this.#background].map((background) => background.stop()));
  }
}
