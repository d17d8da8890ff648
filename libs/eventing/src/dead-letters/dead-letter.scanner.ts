import { EventingError } from '../errors/eventing.error.js';
import type { ProviderHost } from '../provider/provider.host.js';
import { type DeadLetterFilter, matcherOf } from './dead-letter.filter.js';
import type { DeadLetter } from './dead-letter.js';

/** A letter, and where it was found. */
export interface FoundDeadLetter extends DeadLetter {
  /** The provider's name in this application: `default`, or a key of `providers`. */
  readonly provider: string;
}

export interface DeadLetterList {
  readonly letters: readonly FoundDeadLetter[];
  /** Present while there may be more. */
  readonly cursor?: string;
}

/** Letters that are read at one time. */
const AT_A_TIME = 200;

/** Where a list goes on: a provider, and the cursor of its own store. */
interface Place {
  readonly provider: string;
  readonly cursor?: string;
}

/** Reads the dead letters of all providers, one page at a time: the memory it takes does not depend on how many there are. */
export class DeadLetterScanner {
  constructor(private readonly hosts: ReadonlyMap<string, ProviderHost>) {}

  /** @throws EventingError EVT_UNKNOWN_PROVIDER; what connecting throws */
  async connected(provider: string): Promise<ProviderHost> {
    const host = this.hosts.get(provider);
    if (host === undefined)
      throw new EventingError(
        'EVT_UNKNOWN_PROVIDER',
        `There is no provider "${provider.slice(0, 100)}": configured are ${[...this.hosts.keys()].join(', ')}.`,
      );
    await host.connect();
    return host;
  }

  /** One page of one provider as its store has it, with nothing left out. */
  async scan(provider: string, limit: number, cursor: string | undefined): Promise<DeadLetterList> {
    const host = await this.connected(provider);
    const page = await host.provider.deadLetters.scan({ limit, ...(cursor === undefined ? {} : { cursor }) });
    return { ...page, letters: page.letters.map((letter) => ({ ...letter, provider })) };
  }

  /** Pages of what the filter picks, those of the default provider first. A page may be empty. */
  async *pages(filter: DeadLetterFilter): AsyncGenerator<readonly FoundDeadLetter[], void, undefined> {
    const matches = matcherOf(filter);
    for (const provider of this.#providers(filter)) {
      let cursor: string | undefined;
      do {
        const page = await this.scan(provider, AT_A_TIME, cursor);
        yield page.letters.filter(matches);
        cursor = page.cursor;
      } while (cursor !== undefined);
    }
  }

  /** At most `limit` of what the filter picks; its cursor is exact, so that nothing is left out or there twice. */
  async list(filter: DeadLetterFilter, limit: number, cursor: string | undefined): Promise<DeadLetterList> {
    const matches = matcherOf(filter);
    const providers = this.#providers(filter);
    let place: Place | undefined = cursor === undefined ? placeOf(providers[0]) : read(cursor, providers);
    const letters: FoundDeadLetter[] = [];
    let size = AT_A_TIME;
    while (place !== undefined && letters.length < limit) {
      const { provider } = place;
      const page = await this.scan(provider, size, place.cursor);
      const found = page.letters.filter(matches);
      const room = limit - letters.length;
      if (found.length > room) {
        // A page that ends with the last letter there is room for, so that the store's cursor stands right behind it.
        const last = found[room - 1] as FoundDeadLetter;
        size = Math.max(1, Math.min(size - 1, page.letters.indexOf(last) + 1));
        continue;
      }
      letters.push(...found);
      size = AT_A_TIME;
      place =
        page.cursor === undefined
          ? placeOf(providers[providers.indexOf(provider) + 1])
          : { provider, cursor: page.cursor };
    }
    return place === undefined ? { letters } : { letters, cursor: write(place) };
  }

  /** @throws EventingError EVT_DEAD_LETTER_UNKNOWN */
  async find(id: string, provider: string | undefined): Promise<FoundDeadLetter> {
    for await (const page of this.pages(provider === undefined ? {} : { provider })) {
      const found = page.find((letter) => letter.id === id);
      if (found !== undefined) return found;
    }
    throw unknownLetter(id);
  }

  #providers({ provider }: DeadLetterFilter): readonly string[] {
    return provider === undefined ? [...this.hosts.keys()] : [provider];
  }
}

export function unknownLetter(id: string): EventingError {
  const text = `There is no dead letter "${id.slice(0, 100)}": it was redriven or removed.`;
  return new EventingError('EVT_DEAD_LETTER_UNKNOWN', text);
}

function placeOf(provider: string | undefined): Place | undefined {
  return provider === undefined ? undefined : { provider };
}

function write(place: Place): string {
  return Buffer.from(JSON.stringify([place.provider, place.cursor ?? null])).toString('base64url');
}

function read(cursor: string, providers: readonly string[]): Place {
  try {
    const place: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    if (Array.isArray(place)) {
      const [provider, own] = place as readonly unknown[];
      if (typeof provider === 'string' && providers.includes(provider))
        return typeof own === 'string' ? { provider, cursor: own } : { provider };
    }
  } catch {
    // Said below.
  }
  throw new EventingError(
    'EVT_INVALID_OPTIONS',
    `"${cursor.slice(0, 100)}" is no cursor of a list with this filter: pass one on as it came, or begin without.`,
  );
}
