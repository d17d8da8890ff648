import type {
  Clock,
  DeadLetter,
  DecodedMessage,
  Delivery,
  Discovered,
  EventDescriptor,
  EventingRuntime,
  EventRegistry,
  ListenerDefinition,
  ListenerDescriptor,
  OutgoingMessage,
  Settlement,
  Subscription,
  WireBinding,
} from 'nestjs-eventing';
import { Envelope, EventHeaders } from 'nestjs-eventing';
import { AttemptObserver } from './attempt.observer.js';
import type { Attempt, DeliveryRecord, Writable } from './delivery.record.js';
import type { Journal } from './journal.js';
import type { ListenerFaults } from './listener.faults.js';
import type { KnownListener } from './listener.target.js';
import { asDelivery } from './message.view.js';

/** One application under test: sees what it sends, gets and does, and writes it down. */
export class ApplicationWatch {
  /** How the provider in memory spells headers. */
  binding: WireBinding | undefined;
  #found: readonly ListenerDefinition[] = [];
  #runtime: EventingRuntime | undefined;
  #registry: EventRegistry | undefined;
  #publishing: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(
    readonly service: string,
    readonly instance: string,
    readonly clock: Clock,
    private readonly journal: Journal,
    private readonly faults: ListenerFaults,
  ) {}

  /** It has begun, and not ended. */
  get running(): boolean {
    return this.#registry !== undefined && !this.#stopped;
  }

  /** Puts the observer around everything that was found. */
  observe(registry: EventRegistry, found: Discovered): Discovered {
    this.#registry = registry;
    this.#found = found.listeners;
    const pipeline = new AttemptObserver(this, this.faults);
    return { ...found, pipelines: [{ label: 'testEventing()', pipeline }, ...found.pipelines] };
  }

  /** Counts sends from their call to their answer; `stopping` is called around the stop. */
  attach(runtime: EventingRuntime, stopping: (stopped: Promise<void>) => Promise<void>): void {
    this.#runtime = runtime;
    const { events } = runtime;
    const send = events.sendEvent.bind(events) as (...args: readonly unknown[]) => Promise<unknown>;
    const watched = (...args: readonly unknown[]): Promise<unknown> => {
      const open = { event: nameOf(args[0]) };
      this.journal.sends.add(open);
      this.journal.activity++;
      // The caller gets what follows, not what is watched: a failure that it forgets must count as unhandled still.
      return send(...args).finally(() => {
        this.journal.sends.delete(open);
        this.journal.activity++;
      });
    };
    Object.assign(events, { sendEvent: watched });
    const stop = runtime.stop.bind(runtime);
    let stopped: Promise<void> | undefined;
    Object.assign(runtime, {
      stop: () => {
        this.#stopped = true;
        return (stopped ??= stopping(stop()));
      },
    });
  }

  /** The broker has stored these. Written down in the order of the calls, however long a body takes to be read. */
  published(messages: readonly OutgoingMessage[]): Promise<void> {
    const reading = Promise.all(messages.map((message) => this.#envelope(message)));
    this.#publishing = this.#publishing.then(async () => {
      for (const envelope of await reading) if (envelope !== undefined) this.journal.published.push(envelope);
      this.journal.activity++;
    });
    return this.#publishing;
  }

  arrived(provider: string, subscription: Subscription, delivery: Delivery): DeliveryRecord {
    const message = this.#decode(delivery);
    return this.journal.arrived({
      holder: this,
      provider,
      service: this.service,
      subscription: subscription.name,
      instance: subscription.perProcess ? this.instance : undefined,
      delivery,
      id: message?.id,
      label: message === undefined ? `${delivery.channel} ${delivery.position}` : `"${message.name}" ${message.id}`,
    });
  }

  settled(record: DeliveryRecord, settlement: Settlement): void {
    record.turn = undefined;
    if (settlement.kind === 'accept') {
      record.accepted = true;
      if (settlement.outputs !== undefined) void this.published(settlement.outputs);
    }
    if (settlement.kind === 'reject') {
      record.buried = true;
      record.letter = settlement.letter;
      this.stored(settlement.letter);
    }
    // One that is accepted before its listener is called looks as if it were skipped, until then.
    if (record.attempts.length === 0 && settlement.kind === 'accept')
      void Promise.resolve().then(() => this.journal.changed(record));
    else this.journal.changed(record);
  }

  /** What is unsettled of these comes back; their settlements count for nothing. */
  interrupted(provider: string, chosen: (delivery: Delivery) => boolean): void {
    this.journal.interrupted(
      (record) =>
        record.holder === this && record.provider === provider && record.turn !== undefined && chosen(record.turn),
    );
  }

  /** An attempt begins. @returns what is to be called at its end, with what was thrown */
  began(envelope: Envelope, listener: ListenerDescriptor): (failed?: { readonly error: unknown }) => void {
    const { journal, clock } = this;
    const record = journal.attempted(this.service, listener.group, envelope.id);
    if (record === undefined) return () => undefined;
    const attempt: Writable<Attempt> = { number: envelope.attempt, outcome: 'running', startedAt: clock.now() };
    record.listener = listener;
    record.envelope = envelope;
    record.attempts.push(attempt);
    journal.activity++;
    return (failed) => {
      attempt.outcome = failed === undefined ? 'succeeded' : 'failed';
      if (failed !== undefined) attempt.error = failed.error;
      attempt.endedAt = clock.now();
      journal.changed(record);
    };
  }

  mourned(provider: string, letter: DeadLetter): void {
    this.journal.mourned(provider, letter);
  }

  stored(letter: DeadLetter): void {
    this.journal.letters.set(letter.id, letter);
  }

  removed(ids: readonly string[]): void {
    for (const id of ids) this.journal.letters.delete(id);
  }

  /** Every listener that was found, added or seen at work. */
  get listeners(): KnownListener[] {
    const { service } = this;
    const found = this.#found.map(({ label, options: { name = label, group = name } }) => ({
      label,
      name,
      subscription: group,
    }));
    // With the names that a configuration gives, and those that were added while it runs.
    const running = (this.#runtime?.listeners.list() ?? []).map(({ listener, name, group }) => {
      const shared = `group ${service}.`;
      return { label: listener, name, subscription: group.startsWith(shared) ? group.slice(shared.length) : name };
    });
    return [...found.filter(({ label }) => !running.some((one) => one.label === label)), ...running];
  }

  /** What a message says of itself; `undefined` where it cannot be read, or is no event of this application. */
  read(message: OutgoingMessage): DecodedMessage | undefined {
    return this.#decode(asDelivery(message));
  }

  /** What can be read of a message without its body. All events of a channel are read in one way. */
  #decode(delivery: Delivery): DecodedMessage | undefined {
    if (this.binding === undefined) return undefined;
    try {
      return this.#registry?.onChannel(delivery.channel)[0]?.wire.decode(delivery, this.binding);
    } catch {
      return undefined;
    }
  }

  /** A message that was stored, as a listener of this application would read it. */
  async #envelope(message: OutgoingMessage): Promise<Envelope | undefined> {
    const decoded = this.read(message);
    const event = decoded === undefined ? undefined : this.#registry?.find(decoded.name, decoded.version);
    if (decoded === undefined || event === undefined) return undefined;
    const body = await bodyOf(decoded, event);
    // Its id is the message's where the wire carries none.
    return new Envelope({ ...decoded, id: message.id }, body, EventHeaders.of(decoded.headers));
  }
}

/** What a listener would be given; as much of it as can be had, where it would be given nothing. */
async function bodyOf(message: DecodedMessage, event: EventDescriptor): Promise<object> {
  let value: unknown = {};
  try {
    value = event.serializer.deserialize(message.body, event);
    const judged = await event.validator(value);
    return judged.problems === undefined ? judged.body : (value as object);
  } catch {
    return value as object;
  }
}

/** How a send is called in messages. */
function nameOf(event: unknown): string {
  if (typeof event === 'function') return event.name;
  return typeof event === 'object' && event !== null ? event.constructor.name : String(event);
}
