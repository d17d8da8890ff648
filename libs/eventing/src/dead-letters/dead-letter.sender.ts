import { EventingError } from '../errors/eventing.error.js';
import type { OutgoingMessage, PublishFailure } from '../provider/event-provider.js';
import type { ProviderHost } from '../provider/provider.host.js';
import type { DeadLetter } from './dead-letter.js';
import { messageOf, released } from './dead-letter.release.js';
import { type DeadLetterScanner, type FoundDeadLetter, unknownLetter } from './dead-letter.scanner.js';

/** Told of each letter that could not be sent; it is where it was. */
type Fail = (letter: DeadLetter, error: EventingError) => void;

/** Sends letters to the subscriptions that could not handle them. One that is sent leaves the store; of a sequence, when it was handled. */
export class DeadLetterSender {
  constructor(private readonly scanner: DeadLetterScanner) {}

  /** @param done what is not done, where it fails */
  send(host: ProviderHost, letter: DeadLetter, message: OutgoingMessage, done: string): Promise<void> {
    return letter.sequence === undefined
      ? this.#move(host, letter, message, done)
      : this.#release(host, letter, message, done);
  }

  /** The listener takes it out of its row. What dies before the message is stored leaves a letter that can be redriven again. */
  async #release(host: ProviderHost, { id }: DeadLetter, message: OutgoingMessage, done: string): Promise<void> {
    const outcome = await host.provider.deadLetters.sequences?.release(id);
    if (outcome?.kind === 'behind') throw behind(id, outcome.first);
    if (outcome?.kind !== 'released') throw unknownLetter(id);
    const [failure] = await host.provider.publish([released(message, { letter: id, number: outcome.number })]);
    if (failure !== undefined) throw notSent({ id, listener: message.to ?? '' }, failure, done);
  }

  /** Stored first, removed after. */
  async #move(host: ProviderHost, letter: DeadLetter, message: OutgoingMessage, done: string): Promise<void> {
    const [failure] = await host.provider.publish([message]);
    if (failure !== undefined) throw notSent(letter, failure, done);
    await host.provider.deadLetters.remove([letter.id]);
  }

  /** @returns whether it was sent */
  async #releaseOne(host: ProviderHost, letter: DeadLetter, fail: Fail): Promise<boolean> {
    try {
      await this.#release(host, letter, messageOf(letter), 'redriven');
      return true;
    } catch (error) {
      if (!(error instanceof EventingError)) throw error;
      fail(letter, error);
      return false;
    }
  }

  /** Many of them as they were. @returns how many were sent */
  async redrive(letters: readonly FoundDeadLetter[], fail: Fail): Promise<number> {
    let moved = 0;
    for (const [provider, all] of byProvider(letters)) {
      const host = await this.scanner.connected(provider);
      const own = all.filter(({ sequence }) => sequence === undefined);
      for (const letter of all.filter(({ sequence }) => sequence !== undefined))
        if (await this.#releaseOne(host, letter, fail)) moved++;
      if (own.length === 0) continue;
      const failures = new Map(
        (await host.provider.publish(own.map(messageOf))).map((failure) => [failure.index, failure]),
      );
      for (const [index, failure] of failures) {
        const letter = own[index];
        if (letter !== undefined) fail(letter, notSent(letter, failure, 'redriven'));
      }
      const sent = own.filter((_, index) => !failures.has(index));
      if (sent.length > 0) await host.provider.deadLetters.remove(sent.map(({ id }) => id));
      moved += sent.length;
    }
    return moved;
  }
}

export function byProvider(letters: readonly FoundDeadLetter[]): Map<string, FoundDeadLetter[]> {
  const found = new Map<string, FoundDeadLetter[]>();
  for (const letter of letters) {
    const own = found.get(letter.provider);
    if (own === undefined) found.set(letter.provider, [letter]);
    else own.push(letter);
  }
  return found;
}

function behind(id: string, first: string): EventingError {
  const text = `Dead letter ${id} waits behind ${first}, the first of its key: redrive that one, and this one follows by itself.`;
  return new EventingError('EVT_DEAD_LETTER_SEQUENCE', text);
}

function notSent(
  letter: Pick<DeadLetter, 'id' | 'listener'>,
  { error, indeterminate }: PublishFailure,
  done: string,
): EventingError {
  const code = error instanceof EventingError ? error.code : 'EVT_PUBLISH_FAILED';
  const text = `Dead letter ${letter.id} was not ${done} to ${letter.listener}: ${error.message}`;
  return new EventingError(code, text, { cause: error, indeterminate });
}
