import type { Clock } from '../clock.js';
import { EventingError } from '../errors/eventing.error.js';
import type {
  DeadLetterStore,
  OutgoingMessage,
  ProviderContext,
  PublishFailure,
  Subscriber,
  Subscription,
} from '../provider/event-provider.js';
import { BrokerLine } from './broker.line.js';
import type { BrokerParts } from './broker.parts.js';
import { type QueueReport, reportQueue } from './broker.report.js';
import { DeliveryScheduler } from './delivery.scheduler.js';
import { IdleWatch } from './idle.watch.js';
import { MemoryChannel } from './memory.channel.js';
import type { MemoryConnection } from './memory.connection.js';
import { MemoryDeadLetters } from './memory.dead-letters.js';
import { MemoryFaults } from './memory.faults.js';
import { type MemoryBrokerOptions, type ResolvedBrokerOptions, resolveBrokerOptions } from './memory.options.js';
import { type Intake, storeMessages, storeTogether } from './message.intake.js';
import { QueueMember } from './queue.member.js';
import { openQueues } from './queue.opening.js';

/**
 * A message broker inside the process: channels, a queue for each subscription, dead letters. Give one to `memory({ broker })`
 * of several applications and they exchange events as over Kafka. It lives as long as something refers to it.
 */
export class MemoryBroker {
  /** Makes it fail, for tests. */
  readonly faults: MemoryFaults;
  /** @internal */
  readonly options: ResolvedBrokerOptions;
  /** @internal */
  readonly line = new BrokerLine();
  private readonly parts: BrokerParts;
  private readonly channels = new Map<string, MemoryChannel>();
  private readonly stores = new Map<string, MemoryDeadLetters>();
  private readonly connections = new Set<MemoryConnection>();
  private delivering = true;

  /** Throws EVT_INVALID_OPTIONS, naming every option that cannot be used. */
  constructor(options: MemoryBrokerOptions = {}) {
    this.options = resolveBrokerOptions(options);
    this.faults = new MemoryFaults({
      disconnect: () => this.disconnect(),
      connect: () => this.connect(),
      crash: (instance) => this.crash(instance),
      setDelivering: (delivering) => this.setDelivering(delivering),
    });
    this.parts = {
      options: this.options,
      clock: this.options.clock,
      scheduler: new DeliveryScheduler(),
      idle: new IdleWatch(() => this.allQueues().every((queue) => queue.quiet)),
      storeTogether: (messages, service, leaving) => storeTogether(messages, service, this.intake, leaving),
      deadLetters: (service) => this.storeOf(service),
    };
  }

  get clock(): Clock {
    return this.options.clock;
  }

  /** Makes channels, as an operator would for applications that run under `topology: 'check'`. Idempotent. */
  createChannels(...names: readonly string[]): void {
    for (const name of names) this.channel(name);
  }

  hasChannel(name: string): boolean {
    return this.channels.has(name);
  }

  /** What is in every queue at this moment. */
  queues(): QueueReport[] {
    return this.allQueues().map(reportQueue);
  }

  /** The dead letters of a service. */
  deadLetters(service: string): DeadLetterStore {
    return this.storeOf(service);
  }

  /**
   * Resolves when no message that somebody listens for is waiting or unsettled; at once, if so now. Deferred messages wait for
   * their time and are not waited for. The end of a chain of events, where each listener sends before it is done.
   */
  idle(): Promise<void> {
    return this.parts.idle.wait();
  }

  /** @internal As one provider sees them. */
  deadLettersFor(service: string, reach: () => void): DeadLetterStore {
    return this.storeOf(service).reachedBy(reach);
  }

  /** @internal */
  attach(connection: MemoryConnection): void {
    this.connections.add(connection);
  }

  /** @internal */
  detach(connection: MemoryConnection): void {
    this.connections.delete(connection);
  }

  /** @internal */
  store(messages: readonly OutgoingMessage[], service: string): readonly PublishFailure[] {
    return storeMessages(messages, service, this.intake);
  }

  /** @internal See `DeliveryScheduler.breath`. */
  breath(): Promise<void> | undefined {
    return this.parts.scheduler.breath();
  }

  /** @internal The position is fixed, and nothing is delivered yet, when it returns. */
  subscribe(
    subscription: Subscription,
    context: ProviderContext,
    subscriber: Subscriber,
    members: Set<QueueMember>,
  ): QueueMember {
    const channels = [...new Set(subscription.channels)].map((name) => this.channel(name));
    const queues = openQueues(channels, subscription, context);
    const member = new QueueMember(context, subscription.window, subscriber, this.parts.scheduler, members);
    for (const queue of queues) member.join(queue);
    if (subscription.until === 'now')
      member.ended = Promise.all(queues.map((queue) => queue.emptied())).then(() => undefined);
    return member;
  }

  private get intake(): Intake {
    return {
      now: this.options.clock.now(),
      largestMessage: this.options.largestMessage,
      faults: this.faults,
      channel: (name) => this.channel(name),
    };
  }

  private channel(name: string): MemoryChannel {
    const known = this.channels.get(name);
    if (known !== undefined) return known;
    const channel = new MemoryChannel(name, this.parts);
    this.channels.set(name, channel);
    return channel;
  }

  private storeOf(service: string): MemoryDeadLetters {
    const known = this.stores.get(service);
    if (known !== undefined) return known;
    const store = new MemoryDeadLetters(service, this.options.deadLetterCapacity, this.faults.checkDeadLetter);
    this.stores.set(service, store);
    return store;
  }

  private allQueues() {
    return [...this.channels.values()].flatMap((channel) => channel.queues);
  }

  private disconnect(): void {
    if (!this.line.up) return;
    this.line.cut();
    this.updateGate();
    const cause = new EventingError('EVT_CONNECTION', 'the in-memory broker was disconnected: faults.disconnect()');
    for (const connection of this.connections) connection.lose(cause);
  }

  private connect(): void {
    if (this.line.up) return;
    // Who waits comes first: a publish made from onStatus() must not overtake one that has waited.
    this.line.mend();
    this.updateGate();
    for (const connection of this.connections) connection.notify('connected');
  }

  private crash(instance: string): void {
    const victims = [...this.connections].filter((connection) => connection.context.instance === instance);
    if (victims.length === 0) {
      const known = [...this.connections].map((connection) => `"${connection.context.instance}"`).join(', ');
      throw new EventingError(
        'EVT_INVALID_OPTIONS',
        `faults.crash(): no instance "${instance}" is connected; there ${known === '' ? 'is none' : `are ${known}`}`,
      );
    }
    for (const victim of victims) victim.die();
  }

  private setDelivering(delivering: boolean): void {
    this.delivering = delivering;
    this.updateGate();
  }

  private updateGate(): void {
    this.parts.scheduler.setOpen(this.line.up && this.delivering);
  }
}
