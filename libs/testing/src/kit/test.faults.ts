import { type EventClass, EventRegistry, type MemoryBroker, type MessagePredicate } from 'nestjs-eventing';
import type { ApplicationWatch } from './application.watch.js';
import type { Journal } from './journal.js';
import type { ListenerFaults } from './listener.faults.js';
import { ListenerChoice, type ListenerTarget } from './listener.target.js';

/** How often something is to go wrong. */
export interface FaultOptions {
  /** `Infinity` is a number too. @default 1 */
  readonly times?: number;
}

/** With which messages. */
export interface MessageFaultOptions extends FaultOptions {
  /** Only with those that it picks; it sees bytes and headers, as the broker does. @default any */
  readonly where?: MessagePredicate;
}

/**
 * Makes things fail that the applications under test rely upon. Nothing happens by chance: each method says what fails and how
 * often. It acts upon the brokers of all providers; `eventing.broker(name).faults` is that of one.
 */
export class TestFaults {
  /** @internal */
  constructor(
    private readonly brokers: ReadonlyMap<string, MemoryBroker>,
    private readonly applications: ReadonlyMap<unknown, ApplicationWatch>,
    private readonly listeners: ListenerFaults,
    private readonly journal: Journal,
  ) {}

  /**
   * The next attempts of a listener fail before it is called, with `error` (default: an EventingError EVT_CHAOS), as if it had
   * thrown that: `failNext(SendReceipt, new Error('no mail server'), { times: 2 })`.
   */
  failNext(listener: ListenerTarget, error?: Error | (() => Error), options: FaultOptions = {}): void {
    const { times = 1 } = options;
    const make = typeof error === 'object' ? () => error : error;
    this.listeners.add(new ListenerChoice(listener), times, make);
  }

  /**
   * The next sends fail with EVT_PUBLISH_FAILED, and nothing is stored: of an event class, or of any.
   * `rejectNext(OrderPlaced, { times: 2 })`, `rejectNext({ where: ({ key }) => key === '1' })`.
   */
  rejectNext(event?: EventClass | MessageFaultOptions, options?: MessageFaultOptions): void {
    this.#next('rejectNext', event, options);
  }

  /** The next events are stored, but their sends fail with EVT_PUBLISH_TIMEOUT, `indeterminate`. */
  loseConfirmNext(event?: EventClass | MessageFaultOptions, options?: MessageFaultOptions): void {
    this.#next('loseConfirmNext', event, options);
  }

  /** The next events reach each listener twice. */
  duplicateNext(event?: EventClass | MessageFaultOptions, options?: MessageFaultOptions): void {
    this.#next('duplicateNext', event, options);
  }

  /** The next dead letters are not taken; their messages stay open, and are tried again each second. */
  failDeadLetters(options: FaultOptions = {}): void {
    this.#each(({ faults }) => faults.failDeadLetters(options.times ?? 1));
  }

  /** The brokers cannot be reached, until `connect()`: sends wait, what was delivered comes back. */
  disconnect(): void {
    this.#each(({ faults }) => faults.disconnect());
  }

  connect(): void {
    this.#each(({ faults }) => faults.connect());
  }

  /** Events are stored and none is delivered, until `resumeDelivery()`. */
  pauseDelivery(): void {
    this.#each(({ faults }) => faults.pauseDelivery());
  }

  resumeDelivery(): void {
    this.#each(({ faults }) => faults.resumeDelivery());
  }

  /**
   * An instance dies as by kill -9, at every provider. `instance` is that of `forRoot({ instance })`; where none was given,
   * `<service>-1` for the first application of a kit, `<service>-2` for the next.
   * @throws EventingError EVT_INVALID_OPTIONS where no such instance is connected
   */
  crash(instance: string): void {
    let died = false;
    let refusal: unknown;
    this.#each(({ faults }) => {
      try {
        faults.crash(instance);
        died = true;
      } catch (error) {
        refusal ??= error;
      }
    });
    if (!died) throw refusal;
    this.journal.interrupted(({ holder }) => holder?.instance === instance);
  }

  /** All of the above ends; who crashed stays dead. */
  clear(): void {
    this.listeners.clear();
    this.#each(({ faults }) => faults.clear());
  }

  #next(
    fault: 'rejectNext' | 'loseConfirmNext' | 'duplicateNext',
    first: EventClass | MessageFaultOptions | undefined,
    second: MessageFaultOptions | undefined,
  ): void {
    const isOfEvent = typeof first === 'function' ? this.#isOf(first) : undefined;
    const { times = 1, where } = (typeof first === 'function' ? second : (first ?? second)) ?? {};
    // One count for all brokers.
    let left = times;
    const counted: MessagePredicate = (message) =>
      left > 0 && isOfEvent?.(message) !== false && where?.(message) !== false && left-- > 0;
    this.#each((broker) => broker.faults[fault](times, counted));
  }

  #isOf(type: EventClass): MessagePredicate {
    const { name, version } = new EventRegistry().describe(type);
    return (message) =>
      [...this.applications.values()].some((application) => {
        const read = application.read(message);
        return read?.name === name && read.version === version;
      });
  }

  #each(act: (broker: MemoryBroker) => void): void {
    for (const broker of this.brokers.values()) act(broker);
  }
}
