import type { Clock } from '../clock.js';
import { EventingError } from '../errors/eventing.error.js';
import type { ProviderHost } from '../provider/provider.host.js';
import type { EventRegistry } from '../registry/event.registry.js';
import { type DeadLetterEdit, editedMessage } from './dead-letter.edit.js';
import type { DeadLetterFilter } from './dead-letter.filter.js';
import { type DeadLetterGroups, DeadLetterTally } from './dead-letter.groups.js';
import type { DeadLetter } from './dead-letter.js';
import { DeadLetterMessage } from './dead-letter.message.js';
import { messageOf } from './dead-letter.release.js';
import { type DeadLetterList, DeadLetterScanner, type FoundDeadLetter } from './dead-letter.scanner.js';
import { byProvider, DeadLetterSender } from './dead-letter.sender.js';
import { type DeadLetterView, viewOf } from './dead-letter.view.js';

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

export interface DeadLetterPaging {
  /** Letters returned at most, 1 to 1000. @default 100 */
  readonly limit?: number;
  /** From the list before, with the same filter. @default the oldest */
  readonly cursor?: string;
}

export interface RedriveOptions {
  /** Where the letter lies. @default where it was found; all are looked through for an id */
  readonly provider?: string;
  /** Also where no listener of its name is known in this process: it runs in another one of the service. @default false */
  readonly force?: boolean;
}

export interface RedriveAllOptions extends Pick<RedriveOptions, 'force'> {
  /** Letters that are sent at most, 1 to 1000000. @default 1000 */
  readonly limit?: number;
}

export interface RedriveReport {
  readonly redriven: number;
  /** Those that are where they were. */
  readonly failed: number;
  /** Why: the first 100 of them. */
  readonly failures: readonly { readonly id: string; readonly listener: string; readonly error: EventingError }[];
  /** True where the limit was reached before the end. */
  readonly more: boolean;
}

export interface DeadLettersOptions {
  readonly service: string;
  readonly hosts: readonly ProviderHost[];
  readonly registry: EventRegistry;
  readonly clock: Clock;
  /** The subscriptions of this process. Finding them makes their events known. */
  readonly listeners: () => readonly string[];
  /** Of those, the ones that keep nothing while no process runs them, and that do not run here. @default none */
  readonly absent?: () => readonly string[];
}

const MOST_FAILURES = 100;
/** Letters that are taken away at one time: each removal may cost as much as all that there are. */
const AT_A_TIME = 1000;

/**
 * The dead letters of this service, over all its providers: find them, look at them, send them again, mend them, throw them away.
 * Looking never takes one away. Each method fails with an `EventingError`; EVT_UNKNOWN_PROVIDER and what connecting throws in any.
 */
export class DeadLetters {
  readonly #scanner: DeadLetterScanner;
  readonly #sender: DeadLetterSender;

  constructor(private readonly options: DeadLettersOptions) {
    this.#scanner = new DeadLetterScanner(new Map(options.hosts.map((host) => [host.name, host])));
    this.#sender = new DeadLetterSender(this.#scanner);
  }

  /**
   * A page of those that the filter picks, over all providers, oldest first within each. The more there are that it does not pick,
   * the longer it takes; its memory is that of a page.
   * @throws EventingError EVT_INVALID_OPTIONS for a filter, limit or cursor that cannot be used
   */
  async list(filter: DeadLetterFilter = {}, page: DeadLetterPaging = {}): Promise<DeadLetterList> {
    return this.#scanner.list(filter, countOf('limit', page.limit ?? 100, 1000), page.cursor);
  }

  /** Every one that the filter picks, page by page. They may be removed meanwhile. */
  async *all(filter: DeadLetterFilter = {}): AsyncGenerator<FoundDeadLetter, void, undefined> {
    for await (const page of this.#scanner.pages(filter)) yield* page;
  }

  /** How many there are by listener, reason and error. */
  async groups(filter: DeadLetterFilter = {}): Promise<DeadLetterGroups> {
    const tally = new DeadLetterTally();
    for await (const letter of this.all(filter)) tally.add(letter);
    return tally.result();
  }

  /** One letter, with headers and body as they can be read. @throws EventingError EVT_DEAD_LETTER_UNKNOWN */
  async show(id: string, provider?: string): Promise<DeadLetterView> {
    const letter = await this.#scanner.find(id, provider);
    return viewOf(letter, await this.#messageOf(letter));
  }

  /** One page of one provider as its store has it, oldest first: `list` finds what is wanted over all of them. */
  async scan({ provider = 'default', listener, cursor, limit = 100 }: DeadLetterScan = {}): Promise<DeadLetterList> {
    const page = await this.#scanner.scan(provider, Math.min(Math.max(1, limit), 1000), cursor);
    if (listener === undefined) return page;
    return { ...page, letters: page.letters.filter((letter) => letter.listener === listener) };
  }

  /**
   * Sends a letter again, bytes and headers as they were, to the one subscription that could not handle it, and takes it out
   * of the store. A crash in between sends the same event, with the same id, twice; it is never lost. Its place in the order of its
   * key is gone. A letter in a sequence keeps its place, and stays in the store until it has been handled; then the next of its key
   * follows. Of those only the first can be redriven.
   * @param options or the name of the provider
   * @throws EventingError EVT_DEAD_LETTER_UNKNOWN, EVT_DEAD_LETTER_LISTENER, EVT_DEAD_LETTER_ABSENT, EVT_DEAD_LETTER_SEQUENCE,
   *   EVT_PUBLISH_FAILED, EVT_PUBLISH_TIMEOUT
   */
  async redrive(letter: DeadLetter | string, options: RedriveOptions | string = {}): Promise<DeadLetter> {
    const { provider, force = false } = typeof options === 'string' ? { provider: options } : options;
    const found = typeof letter === 'string' ? await this.#scanner.find(letter, provider) : letter;
    const host = await this.#hostOf(found, provider);
    if (!force) this.#checkListener(found);
    await this.#sender.send(host, found, messageOf(found), 'redriven');
    return found;
  }

  /**
   * Redrives those that the filter picks and that were given up before the call: what fails again is not sent again. One that
   * cannot be sent stays, and is told of in the report. Of a sequence only the first is sent, if it was not before; the others follow by
   * themselves and are not counted.
   * @throws EventingError EVT_INVALID_OPTIONS; what the provider rejects a whole batch with, and then the rest is where it was
   */
  async redriveAll(filter: DeadLetterFilter = {}, options: RedriveAllOptions = {}): Promise<RedriveReport> {
    const limit = countOf('limit', options.limit ?? 1000, 1_000_000);
    const failures: { id: string; listener: string; error: EventingError }[] = [];
    let redriven = 0;
    let failed = 0;
    const fail = ({ id, listener }: DeadLetter, error: EventingError): void => {
      failed++;
      if (failures.length < MOST_FAILURES) failures.push({ id, listener, error });
    };
    for await (const page of this.#scanner.pages(this.#untilNow(filter))) {
      const wanted: FoundDeadLetter[] = [];
      for (const letter of page) {
        const refusal = options.force === true ? undefined : this.#refusalOf(letter);
        if (letter.sequence === 'waiting' || letter.sequence === 'released') continue;
        if (refusal !== undefined) fail(letter, refusal);
        else if (redriven + wanted.length < limit) wanted.push(letter);
        else return { redriven: redriven + (await this.#sender.redrive(wanted, fail)), failed, failures, more: true };
      }
      redriven += await this.#sender.redrive(wanted, fail);
    }
    return { redriven, failed, failures, more: false };
  }

  /**
   * Changes the body or headers of a letter, validates the result against the event's class, sends it under a new id to the one
   * subscription, with the old event as its cause, and then takes the letter out. The same edit again, after a crash in between,
   * sends the same id. The event is due at once and does not expire.
   * @returns the id of what was sent, and the letter as it was
   * @throws EventingError as `redrive`; EVT_INVALID_EVENT, EVT_INVALID_HEADER, EVT_BODY_TOO_LARGE, EVT_INVALID_OPTIONS for the
   *   edit; EVT_DEAD_LETTER_BODY where the class is not known here, or the body to be changed cannot be read
   */
  async edit(
    letter: DeadLetter | string,
    edit: DeadLetterEdit,
    { provider, force = false }: RedriveOptions = {},
  ): Promise<{ readonly id: string; readonly letter: DeadLetter }> {
    const found = typeof letter === 'string' ? await this.#scanner.find(letter, provider) : letter;
    const host = await this.#hostOf(found, provider);
    if (!force) this.#checkListener(found);
    const { service, clock } = this.options;
    const whole = { ...found, provider: host.name };
    const message = await editedMessage(whole, await this.#messageOf(whole), edit, { host, service, now: clock.now() });
    if (found.sequence !== undefined && message.key !== found.message.key) throw otherKey(found);
    await this.#sender.send(host, found, message, 'edited');
    return { id: message.id, letter: found };
  }

  /**
   * Throws away, for good, those that the filter picks and that were given up before the call.
   * @param spare those that stay all the same. @default none
   * @returns how many are gone
   */
  async purge(filter: DeadLetterFilter, spare: (letter: FoundDeadLetter) => boolean = () => false): Promise<number> {
    let purged = 0;
    const chosen = new Map<string, string[]>();
    const flush = async (least: number): Promise<void> => {
      for (const [provider, ids] of chosen) {
        if (ids.length < least) continue;
        chosen.delete(provider);
        await this.remove(ids, provider);
        purged += ids.length;
      }
    };
    for await (const page of this.#scanner.pages(this.#untilNow(filter))) {
      for (const [provider, letters] of byProvider(page))
        chosen.set(provider, [
          ...(chosen.get(provider) ?? []),
          ...letters.filter((letter) => !spare(letter)).map(({ id }) => id),
        ]);
      await flush(AT_A_TIME);
    }
    await flush(1);
    return purged;
  }

  /** Throws letters away for good, those of one provider. @default 'default' */
  async remove(ids: readonly string[], provider = 'default'): Promise<void> {
    const host = await this.#scanner.connected(provider);
    await host.provider.deadLetters.remove(ids);
  }

  #untilNow(filter: DeadLetterFilter): DeadLetterFilter {
    const until = Math.min(this.options.clock.now(), filter.until === undefined ? Infinity : Number(filter.until));
    return { ...filter, until };
  }

  async #hostOf(letter: DeadLetter, provider: string | undefined): Promise<ProviderHost> {
    const own = 'provider' in letter && typeof letter.provider === 'string' ? letter.provider : 'default';
    return this.#scanner.connected(provider ?? own);
  }

  async #messageOf(letter: FoundDeadLetter): Promise<DeadLetterMessage> {
    const host = await this.#scanner.connected(letter.provider);
    this.options.listeners();
    return new DeadLetterMessage(letter, this.options.registry, host.provider.binding);
  }

  #checkListener(letter: DeadLetter): void {
    const refusal = this.#refusalOf(letter);
    if (refusal !== undefined) throw refusal;
  }

  /** Sent to a subscription that nobody has, it would lie there until the broker forgets it. */
  #refusalOf({ id, listener }: DeadLetter): EventingError | undefined {
    const known = this.options.listeners();
    if (known.includes(listener))
      return this.options.absent?.().includes(listener) === true ? absent(id, listener) : undefined;
    const there = known.length === 0 ? 'there is none' : `there are ${known.join(', ')}`;
    const text = `Dead letter ${id} is of the listener "${listener.slice(0, 200)}", which is not known here: ${there}. Redrive it where that listener runs, force it, or purge it.`;
    return new EventingError('EVT_DEAD_LETTER_LISTENER', text);
  }
}

/** Nothing keeps it: it would be lost. */
function absent(id: string, listener: string): EventingError {
  const text = `Dead letter ${id} is of the listener "${listener}", which is not durable and does not run here: what is sent while no process runs it is lost. Redrive it where that listener runs, or force it while it runs elsewhere.`;
  return new EventingError('EVT_DEAD_LETTER_ABSENT', text);
}

function otherKey({ id }: DeadLetter): EventingError {
  const text = `Dead letter ${id} was not edited: others of its key wait behind it, and with another key it would have no place among them. Leave the key as it is, or send a new event and purge the letter.`;
  return new EventingError('EVT_DEAD_LETTER_SEQUENCE', text);
}

function countOf(name: string, value: number, most: number): number {
  if (Number.isSafeInteger(value) && value >= 1 && value <= most) return value;
  throw new EventingError('EVT_INVALID_OPTIONS', `${name} must be a whole number from 1 to ${most}, not ${value}.`);
}
