import { EventingError } from '../errors/eventing.error.js';
import type { DeadLetterPage } from '../provider/event-provider.js';
import type { ProviderHost } from '../provider/provider.host.js';
import type { DeadLetter } from './dead-letter.js';

export interface DeadLetterScan {
  /** A provider of the application. @default 'default' */
  readonly provider?: string;
  /** Only those of one subscription. @default all */
  readonly listener?: string;
  /** From a page before. @default the oldest */
  readonly cursor?: string;
  /** Letters looked at, 1 to 1000; with `listener`, fewer may be returned while there are more. @default 100 */
  readonly limit?: number;
}

/** The dead letters of this service: look at them, send them again, throw them away. Looking never takes one away. */
export class DeadLetters {
  readonly #hosts: ReadonlyMap<string, ProviderHost>;

  constructor(hosts: readonly ProviderHost[]) {
    this.#hosts = new Map(hosts.map((host) => [host.name, host]));
  }

  /** One page, oldest first. */
  async scan(query: DeadLetterScan = {}): Promise<DeadLetterPage> {
    const host = await this.#connected(query.provider);
    const { cursor } = query;
    const limit = Math.min(Math.max(1, query.limit ?? 100), 1000);
    const page = await host.provider.deadLetters.scan({ limit, ...(cursor === undefined ? {} : { cursor }) });
    if (query.listener === undefined) return page;
    return { ...page, letters: page.letters.filter((letter) => letter.listener === query.listener) };
  }

  /** All of them, page by page. */
  async *all(query: Omit<DeadLetterScan, 'cursor'> = {}): AsyncGenerator<DeadLetter, void, undefined> {
    let cursor: string | undefined;
    do {
      const page = await this.scan({ ...query, ...(cursor === undefined ? {} : { cursor }) });
      yield* page.letters;
      cursor = page.cursor;
    } while (cursor !== undefined);
  }

  /**
   * Sends a letter again, bytes and headers as they were, to the one subscription that could not handle it, and takes it out
   * of the store. A crash in between may send it twice; it is never lost. Its place in the order of its key is gone.
   * @throws EventingError EVT_DEAD_LETTER_UNKNOWN, EVT_PUBLISH_FAILED, EVT_PUBLISH_TIMEOUT
   */
  async redrive(letter: DeadLetter | string, provider?: string): Promise<DeadLetter> {
    const host = await this.#connected(provider);
    const found = typeof letter === 'string' ? await this.#find(letter, provider) : letter;
    const { message } = found;
    const failures = await host.provider.publish([
      {
        id: found.event?.id ?? found.id,
        channel: found.channel,
        key: message.key,
        headers: message.headers,
        body: message.body,
        time: message.time,
        durable: true,
        to: found.listener,
      },
    ]);
    const failure = failures[0];
    if (failure !== undefined) {
      const code = failure.error instanceof EventingError ? failure.error.code : 'EVT_PUBLISH_FAILED';
      throw new EventingError(
        code,
        `Dead letter ${found.id} was not redriven to ${found.listener}: ${failure.error.message}`,
        {
          cause: failure.error,
          indeterminate: failure.indeterminate,
        },
      );
    }
    await host.provider.deadLetters.remove([found.id]);
    return found;
  }

  /** Throws letters away for good. */
  async remove(ids: readonly string[], provider?: string): Promise<void> {
    const host = await this.#connected(provider);
    await host.provider.deadLetters.remove(ids);
  }

  async #find(id: string, provider: string | undefined): Promise<DeadLetter> {
    for await (const letter of this.all({ limit: 1000, ...(provider === undefined ? {} : { provider }) }))
      if (letter.id === id) return letter;
    throw new EventingError(
      'EVT_DEAD_LETTER_UNKNOWN',
      `There is no dead letter "${id.slice(0, 100)}": it was redriven or removed.`,
    );
  }

  async #connected(provider = 'default'): Promise<ProviderHost> {
    const host = this.#hosts.get(provider);
    if (host === undefined)
      throw new EventingError(
        'EVT_UNKNOWN_PROVIDER',
        `There is no provider "${provider}": configured are ${[...this.#hosts.keys()].join(', ')}.`,
      );
    await host.connect();
    return host;
  }
}
