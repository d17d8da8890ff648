import type {
  EventFacts,
  EventName,
  Evidence,
  FaultRecord,
  HistoryRecord,
  OutboxRecord,
  SendAnswer,
  StartedRecord,
} from './history.record.js';

export interface Sending {
  readonly process: string;
  readonly at: number;
  readonly transaction: string | undefined;
  answer: SendAnswer | undefined;
}

/** One call of a listener. */
export interface Handling {
  readonly process: string;
  readonly listener: string;
  readonly attempt: number | undefined;
  readonly from: number;
  /** Absent where it neither returned nor threw. */
  to: number | undefined;
  failed: boolean;
}

/** Everything that is known of one event. */
export interface KnownEvent extends EventName {
  key: string | undefined;
  sequence: number | undefined;
  readonly sends: Sending[];
  readonly handlings: Handling[];
  /** How often the broker has it, and under how many ids. */
  copies: number;
  readonly messages: Set<string>;
  /** By listener, how often its effect is there. */
  readonly effects: Map<string, number>;
  readonly outbox: OutboxRecord['state'][];
}

export interface Transaction {
  readonly process: string;
  committing: number | undefined;
  told: 'committed' | 'rolled back' | undefined;
}

/** Whether what was sent is to be there. `open`: nobody can tell. */
export type Fate = 'kept' | 'undone' | 'open';

/**
 * Everything that is known of a run. Add the records of each process in their order, of all processes in any; and those that were found when all
 * was over in the order in which the broker has them. Memory grows with the number of events, some hundred bytes for each.
 */
export class History {
  readonly faults: FaultRecord[] = [];
  /** Ids by listener, each with an inbox's record. */
  readonly inbox = new Map<string, Set<string>>();
  /** Ids by listener, of what it did. */
  readonly effects = new Map<string, Set<string>>();
  /** For each channel and key, its events as the broker has them, first copies only. */
  readonly published: KnownEvent[] = [];
  readonly #events = new Map<string, KnownEvent>();
  readonly #transactions = new Map<string, Transaction>();
  readonly #rows = new Set<string>();
  readonly #read = new Set<Evidence>();

  get events(): Iterable<KnownEvent> {
    return this.#events.values();
  }

  get transactions(): Iterable<readonly [string, Transaction]> {
    return this.#transactions;
  }

  add(record: HistoryRecord): this {
    switch (record.kind) {
      case 'send': {
        const { process, at, transaction } = record;
        this.#event(record).sends.push({ process, at, transaction, answer: undefined });
        break;
      }
      case 'answer': {
        const sending = this.#event(record).sends.findLast((each) => each.process === record.process);
        if (sending !== undefined) sending.answer = record.outcome;
        break;
      }
      case 'transaction': {
        const transaction = this.#transaction(record.transaction, record.process);
        if (record.state === 'committing') transaction.committing = record.at;
        else transaction.told = record.state;
        break;
      }
      case 'row':
        this.#rows.add(record.transaction);
        break;
      case 'published': {
        const event = this.#event(record);
        if (event.copies++ === 0) this.published.push(event);
        if (record.message !== undefined) event.messages.add(record.message);
        break;
      }
      case 'started':
        this.#event(record).handlings.push(begun(record));
        break;
      case 'ended':
      case 'failed': {
        const { process, listener, at } = record;
        const open = this.#event(record).handlings.findLast(
          (each) => each.process === process && each.listener === listener && each.to === undefined,
        );
        if (open !== undefined) Object.assign(open, { to: at, failed: record.kind === 'failed' });
        break;
      }
      case 'effect': {
        const { effects } = this.#event(record);
        effects.set(record.listener, (effects.get(record.listener) ?? 0) + 1);
        if (record.message !== undefined) idsOf(this.effects, record.listener).add(record.message);
        break;
      }
      case 'inbox':
        idsOf(this.inbox, record.listener).add(record.message);
        break;
      case 'outbox':
        this.#event(record).outbox.push(record.state);
        break;
      case 'fault':
        this.faults.push(record);
        break;
      case 'read':
        this.#read.add(record.what);
        break;
      case 'mark':
        break;
    }
    return this;
  }

  find({ channel, event }: EventName): KnownEvent | undefined {
    return this.#events.get(`${channel}\n${event}`);
  }

  /** Whether all of it was read, so that what is missing is missing. */
  hasRead(what: Evidence): boolean {
    return this.#read.has(what);
  }

  hasRow(transaction: string): boolean {
    return this.#rows.has(transaction);
  }

  transaction(name: string): Transaction | undefined {
    return this.#transactions.get(name);
  }

  /** What was to become of one send. A row in the database says more than what the process was told. */
  fateOf({ transaction, answer }: Sending): Fate {
    if (transaction !== undefined) {
      if (this.#rows.has(transaction)) return 'kept';
      if (this.hasRead('rows')) return 'undone';
      const told = this.#transactions.get(transaction)?.told;
      return told === undefined ? 'open' : told === 'committed' ? 'kept' : 'undone';
    }
    if (answer === 'acknowledged') return 'kept';
    return answer === 'refused' ? 'undone' : 'open';
  }

  /** Of an event that was sent several times, by attempts that failed for instance, the best. */
  fateOfEvent({ sends }: KnownEvent): Fate {
    const fates = new Set(sends.map((sending) => this.fateOf(sending)));
    return fates.has('kept') ? 'kept' : fates.has('open') ? 'open' : 'undone';
  }

  #transaction(name: string, process: string): Transaction {
    let transaction = this.#transactions.get(name);
    if (transaction === undefined) {
      transaction = { process, committing: undefined, told: undefined };
      this.#transactions.set(name, transaction);
    }
    return transaction;
  }

  #event({ channel, event, key, sequence }: EventFacts): KnownEvent {
    const name = `${channel}\n${event}`;
    let known = this.#events.get(name);
    if (known === undefined) {
      known = {
        ...{ channel, event, key, sequence, sends: [], handlings: [], copies: 0, outbox: [] },
        ...{ messages: new Set<string>(), effects: new Map<string, number>() },
      };
      this.#events.set(name, known);
    }
    known.key ??= key;
    known.sequence ??= sequence;
    return known;
  }
}

/** As it is named in what is found: `k1#5 of orders`. */
export function called({ channel, event }: EventName): string {
  return `${event} of ${channel}`;
}

/** `Map.groupBy`, which Node 20 does not have. */
export function groupBy<Item, Key>(items: Iterable<Item>, keyOf: (item: Item) => Key): Map<Key, Item[]> {
  const groups = new Map<Key, Item[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}

function begun({ process, listener, attempt, at }: StartedRecord): Handling {
  return { process, listener, attempt, from: at, to: undefined, failed: false };
}

function idsOf(groups: Map<string, Set<string>>, listener: string): Set<string> {
  let ids = groups.get(listener);
  if (ids === undefined) groups.set(listener, (ids = new Set()));
  return ids;
}
