import type { BackgroundPublisher, Clock, EventPublisher, ProviderLogger } from 'nestjs-eventing';
import type { Database } from '../sql/database.js';
import type { CommitNotifier } from './commit.notifier.js';
import type { Outbox } from './outbox.js';
import { OutboxRelay } from './outbox.relay.js';
import { PURGED, Retention } from './retention.js';

export interface RelaysOptions {
  readonly outbox: Outbox;
  readonly database: Database;
  readonly publisher: EventPublisher;
  /** Runs already, and stops with the relays. */
  readonly notifier?: CommitNotifier | undefined;
  readonly service: string;
  readonly instance: string;
  readonly clock: Clock;
  readonly logger: ProviderLogger;
}

/** One relay for each provider: that one broker is away holds no other up. */
export class OutboxRelays implements BackgroundPublisher {
  #relays: readonly OutboxRelay[] = [];
  #retention: Retention | undefined;
  #deafen: (() => Promise<void>) | undefined;
  #stopped = false;

  constructor(private readonly options: RelaysOptions) {}

  start(): void {
    const { outbox, publisher, database, service, clock, logger } = this.options;
    const { statements, options } = outbox;
    if (options.relay)
      this.#relays = publisher.providers.map(
        (provider) =>
          new OutboxRelay({
            ...this.options,
            ...{ statements, options, provider, publish: (messages) => publisher.publish(provider, messages) },
          }),
      );
    for (const relay of this.#relays) relay.start();
    if (options.relay && options.wake === 'notify') this.#listen();
    if (options.relay) this.#lookForStrangers();
    if (options.retention === 0) return;
    const values = [service, options.retention, PURGED];
    const purge = async (): Promise<number> => (await database.query(statements.purge, values)).affected;
    this.#retention = new Retention(purge, clock, logger);
    this.#retention.start();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    const { notifier } = this.options;
    await Promise.all([...this.#relays.map((relay) => relay.stop()), this.#retention?.stop(), notifier?.stop()]);
    await this.#deafen?.().catch(() => undefined);
    await this.options.database.close();
  }

  #listen(): void {
    const { database, outbox, service, logger } = this.options;
    const heard = (payload: string | undefined): void => {
      if (payload === undefined || payload === service) for (const relay of this.#relays) relay.wake();
    };
    const listen = async (): Promise<void> => {
      try {
        // While the database is away it is waited for; relays look by themselves meanwhile.
        const end = await database.listen(outbox.statements.channel, heard);
        if (this.#stopped) await end();
        else this.#deafen = end;
      } catch (error) {
        if (this.#stopped) return;
        const why = error instanceof Error ? error.message : String(error);
        logger.warn(`Outbox: nobody tells of new events, and it looks every ${outbox.options.pollInterval} ms: ${why}`);
      }
    };
    void listen();
  }

  /** What was stored for a provider that was there once would wait without a word. */
  #lookForStrangers(): void {
    const { outbox, publisher, logger } = this.options;
    const known = new Set(publisher.providers);
    const look = async (): Promise<void> => {
      for (const { provider, waiting } of await outbox.depth())
        if (!known.has(provider))
          logger.error(
            `Outbox: ${waiting} events wait for the provider "${provider}", which forRoot() does not have; there are ${[...known].join(', ')}`,
          );
    };
    // Where the database is away the relays say so.
    look().catch(() => undefined);
  }
}
