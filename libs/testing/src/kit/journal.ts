import type { Clock, DeadLetter, Delivery, Envelope } from 'nestjs-eventing';
import { DeliveryRecord } from './delivery.record.js';

/** A message, and which subscription of whom got it. */
export interface Arrival {
  readonly holder: { readonly instance: string };
  readonly provider: string;
  readonly service: string;
  readonly subscription: string;
  /** The process that has a copy of its own; `undefined` where processes share one. */
  readonly instance: string | undefined;
  readonly delivery: Delivery;
  /** The id of its event, where it can be read. */
  readonly id: string | undefined;
  /** For messages. */
  readonly label: string;
}

/** Everything that a kit has seen: what was published, what became of it, and what is still open. */
export class Journal {
  readonly published: Envelope[] = [];
  readonly records: DeliveryRecord[] = [];
  readonly letters = new Map<string, DeadLetter>();
  /** Sends without an answer. */
  readonly sends = new Set<{ readonly event: string }>();
  /** Counts whatever happens: while it stands still, nothing does. */
  activity = 0;
  /** Counts deliveries, also those that were forgotten. */
  deliveries = 0;
  readonly #open = new Set<DeliveryRecord>();
  readonly #byPosition = new Map<string, DeliveryRecord[]>();
  /** Those that are open. */
  readonly #byId = new Map<string, DeliveryRecord[]>();
  #done = 0;

  constructor(private readonly clock: Clock) {}

  /** What is not settled, or may still fail. */
  get open(): ReadonlySet<DeliveryRecord> {
    return this.#open;
  }

  /** A message has arrived: for the first time, again, or as a copy. */
  arrived({ holder, provider, service, subscription, instance, delivery, id, label }: Arrival): DeliveryRecord {
    this.activity++;
    this.deliveries++;
    const position = keyOf(provider, service, subscription, delivery.channel, delivery.position);
    const known = this.#byPosition.get(position) ?? [];
    // A broker that duplicates delivers one position twice; one that was interrupted, or lost an instance, delivers it again.
    const returning = known.find(
      (record) =>
        this.#open.has(record) &&
        record.instance === instance &&
        (record.turn === undefined || record.turn.attempt < delivery.attempt),
    );
    const record = returning ?? new DeliveryRecord(service, subscription, instance, id, label, this.clock);
    record.turn = delivery;
    record.holder = holder;
    record.provider = provider;
    if (returning !== undefined) return record;
    this.records.push(record);
    this.#open.add(record);
    this.#byPosition.set(position, [...known, record]);
    const key = keyOf(service, subscription, id);
    this.#byId.set(key, [...(this.#byId.get(key) ?? []), record]);
    return record;
  }

  /** The delivery of which an attempt begins: of copies that are handled at one time, any. */
  attempted(service: string, subscription: string, id: string): DeliveryRecord | undefined {
    const candidates = this.#byId.get(keyOf(service, subscription, id)) ?? [];
    return candidates.find((record) => record.running === undefined) ?? candidates[0];
  }

  /** Something has become of it. */
  changed(record: DeliveryRecord): void {
    this.activity++;
    if (record.outcome === 'open' || !this.#open.delete(record)) return;
    record.place = ++this.#done;
    const key = keyOf(record.service, record.subscription, record.id);
    const left = (this.#byId.get(key) ?? []).filter((other) => other !== record);
    if (left.length === 0) this.#byId.delete(key);
    else this.#byId.set(key, left);
  }

  /** Deliveries that nobody can settle any more: they come back, here or elsewhere. */
  interrupted(chosen: (record: DeliveryRecord) => boolean): void {
    this.activity++;
    for (const record of this.#open) if (chosen(record)) record.turn = undefined;
  }

  /** A letter that did not come by a settlement: written for a message that was settled before. */
  mourned(provider: string, letter: DeadLetter): void {
    const { service, listener, channel, message } = letter;
    const records = this.#byPosition.get(keyOf(provider, service, listener, channel, message.position)) ?? [];
    const record = records.findLast(({ buried }) => !buried);
    if (record === undefined) return;
    record.buried = true;
    record.letter = letter;
    this.changed(record);
  }

  /** Forgets what is over. What is open stays. */
  forget(): void {
    this.published.length = 0;
    this.letters.clear();
    this.records.splice(0, this.records.length, ...this.#open);
    for (const [position, records] of this.#byPosition) {
      const left = records.filter((record) => this.#open.has(record));
      if (left.length === 0) this.#byPosition.delete(position);
      else this.#byPosition.set(position, left);
    }
  }
}

const keyOf = (...parts: readonly (string | undefined)[]): string => parts.join('\n');
