import type { DeadLetterFilter, DeadLetters, FoundDeadLetter, HandledFilter, ResendFilter } from 'nestjs-eventing';

/** What of a filter the dead letters understand by themselves. */
export function letterFilter({ event, listener, error, since, until }: HandledFilter | ResendFilter): DeadLetterFilter {
  return {
    ...(event === undefined ? {} : { event }),
    ...(listener === undefined ? {} : { listener }),
    ...(error === undefined ? {} : { error }),
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
  };
}

/** And the rest of it. */
export function matches({ event, channel, message }: FoundDeadLetter, filter: HandledFilter | ResendFilter): boolean {
  return (
    (filter.id === undefined || event?.id === filter.id) &&
    (filter.key === undefined || message.key === filter.key) &&
    (filter.channel === undefined || channel === filter.channel)
  );
}

/** A page as the dead letters gave it, without them. */
interface Page {
  readonly start: string | undefined;
  readonly next: string | undefined;
  readonly size: number;
}

interface Match {
  readonly letter: FoundDeadLetter;
  readonly page: Page;
  /** Its place in the page. */
  readonly index: number;
}

/** Some dead letters of a filter; of which as many are taken as there is room for. Keeps those that match, and nothing of the others. */
export class LetterPages {
  readonly #matches: Match[] = [];
  #next: string | undefined;

  private constructor(
    private readonly source: DeadLetters,
    private readonly filter: HandledFilter,
    private readonly start: string | undefined,
  ) {}

  /** At least so many, where there are. @param cursor of the dead letters */
  static async read(source: DeadLetters, filter: HandledFilter, limit: number, cursor?: string): Promise<LetterPages> {
    const pages = new LetterPages(source, filter, cursor);
    let start = cursor;
    do {
      const found = await source.list(letterFilter(filter), start === undefined ? { limit } : { limit, cursor: start });
      const page = { start, next: found.cursor, size: found.letters.length };
      for (const [index, letter] of found.letters.entries())
        if (matches(letter, filter)) pages.#matches.push({ letter, page, index });
      start = found.cursor;
    } while (start !== undefined && pages.#matches.length < limit);
    pages.#next = start;
    return pages;
  }

  get letters(): readonly FoundDeadLetter[] {
    return this.#matches.map(({ letter }) => letter);
  }

  /** Where to go on after so many of them; `undefined`: there are no more. */
  async after(taken: number): Promise<{ readonly cursor: string | undefined } | undefined> {
    if (taken === this.#matches.length) return this.#next === undefined ? undefined : { cursor: this.#next };
    const last = this.#matches[taken - 1];
    if (last === undefined) return { cursor: this.start };
    const { start, next, size } = last.page;
    const limit = last.index + 1;
    if (limit === size) return { cursor: next };
    // A page that ends with it has the cursor that stands right behind it.
    const { cursor } = await this.source.list(
      letterFilter(this.filter),
      start === undefined ? { limit } : { limit, cursor: start },
    );
    return { cursor };
  }
}
