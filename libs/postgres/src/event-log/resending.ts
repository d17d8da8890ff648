import type { DeadLetterFilter, DeadLetters, FoundDeadLetter, ResendFilter, ResendReport, SentFilter } from 'nestjs-eventing'; // prettier-ignore
import { EventingError } from 'nestjs-eventing';
import { BEGIN } from './event-log.statements.js';
import { letterFilter, matches } from './letter.pages.js';

export interface ResendingParts {
  readonly deadLetters: DeadLetters;
  /** What fails after it is not sent again. Milliseconds since 1970. */
  readonly now: number;
  /** Positions of sends that were given up, ascending. */
  readonly failed: (filter: SentFilter, cursor: string, limit: number) => Promise<readonly string[]>;
  /** @returns how many of them are tried anew */
  readonly again: (positions: readonly string[]) => Promise<number>;
}

/** Events of the outbox that go back at one time. */
const AT_A_TIME = 1000;
const MOST_FAILURES = 100;

interface Rules {
  readonly limit: number;
  readonly force: boolean;
  readonly dryRun: boolean;
}

/** Sends again what the outbox gave up, and after that what listeners could not handle. */
export class Resending {
  constructor(private readonly parts: ResendingParts) {}

  async run(filter: ResendFilter, rules: Rules): Promise<ResendReport> {
    const { of, listener, ...common } = filter;
    const sends =
      of === 'handled' || listener !== undefined ? { sent: 0, more: false } : await this.#sends(common, rules);
    const left = rules.limit - sends.sent;
    const none = { handled: 0, failed: 0, failures: [], more: false };
    if (of === 'sent') return { ...none, ...sends };
    if (left === 0) return { ...none, ...sends, more: sends.more || (await this.#anyLetter(filter)) };
    const letters = await this.#letters(filter, { ...rules, limit: left });
    return { ...letters, sent: sends.sent, more: sends.more || letters.more };
  }

  async #sends(
    filter: SentFilter,
    { limit, dryRun }: Rules,
  ): Promise<{ readonly sent: number; readonly more: boolean }> {
    const { failed, again } = this.parts;
    let sent = 0;
    let cursor = BEGIN;
    while (sent < limit) {
      const most = Math.min(AT_A_TIME, limit - sent);
      const positions = await failed(filter, cursor, most);
      sent += dryRun ? positions.length : positions.length === 0 ? 0 : await again(positions);
      if (positions.length < most) return { sent, more: false };
      cursor = positions.at(-1) as string;
    }
    return { sent, more: (await failed(filter, cursor, 1)).length > 0 };
  }

  async #letters(filter: ResendFilter, rules: Rules): Promise<Omit<ResendReport, 'sent'>> {
    const { deadLetters } = this.parts;
    const { limit, force, dryRun } = rules;
    const { id, key, channel } = filter;
    if (!dryRun && id === undefined && key === undefined && channel === undefined) {
      const { redriven, ...report } = await deadLetters.redriveAll(this.#untilNow(filter), { limit, force });
      return { handled: redriven, ...report };
    }
    let handled = 0;
    let failed = 0;
    const failures: { id: string; listener: string; error: EventingError }[] = [];
    for await (const letter of this.#chosen(filter)) {
      if (handled === limit) return { handled, failed, failures, more: true };
      const error = dryRun ? undefined : await this.#redrive(letter, force);
      if (error === undefined) handled++;
      else {
        failed++;
        if (failures.length < MOST_FAILURES) failures.push({ id: letter.id, listener: letter.listener, error });
      }
    }
    return { handled, failed, failures, more: false };
  }

  /** Of some letters only, which the redrive of a filter cannot pick: one by one. */
  async #redrive(letter: FoundDeadLetter, force: boolean): Promise<EventingError | undefined> {
    try {
      await this.parts.deadLetters.redrive(letter, { provider: letter.provider, force });
      return undefined;
    } catch (error) {
      if (error instanceof EventingError) return error;
      throw error;
    }
  }

  async #anyLetter(filter: ResendFilter): Promise<boolean> {
    for await (const _ of this.#chosen(filter)) return true;
    return false;
  }

  /** As `redriveAll` does: what waits behind another letter comes after it, and what is under way already is not sent twice. */
  async *#chosen(filter: ResendFilter): AsyncGenerator<FoundDeadLetter, void, undefined> {
    for await (const letter of this.parts.deadLetters.all(this.#untilNow(filter)))
      if (matches(letter, filter) && letter.sequence !== 'waiting' && letter.sequence !== 'released') yield letter;
  }

  #untilNow(filter: ResendFilter): DeadLetterFilter {
    const until = Math.min(this.parts.now, filter.until === undefined ? Infinity : Number(filter.until));
    return { ...letterFilter(filter), until };
  }
}
