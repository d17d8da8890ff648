import {
  type Abilities,
  type EnvelopePipeline,
  type EventClass,
  type EventOptions,
  type ProviderContext,
  type ProviderLogger,
  systemClock,
} from 'nestjs-eventing';
import { randomBytes } from 'node:crypto';
import type { ConformanceCluster, ConformanceEnvironment } from './conformance.environment.js';
import { eventually, inTime, pause } from './eventually.js';
import { Gate } from './gate.js';
import { Journal } from './journal.js';
import { type Sample, sampleEvent } from './sample.event.js';
import { SeededRandom } from './seeded.random.js';
import { TrialPort } from './trial.port.js';
import { type ServicePlan, TrialService } from './trial.service.js';

/** What a failed case shows of the log. */
const LAST_LINES = 12;

/** One run of one case: its broker area, the processes in it, and the end of all of them. */
export class Trial {
  readonly abilities: Abilities;
  readonly random: SeededRandom;
  /** Milliseconds for which it waits for what must happen. */
  readonly patience: number;
  /** Milliseconds in which a message that nothing holds up surely arrives. */
  readonly silence: number;
  /** The service that cases speak of when they name none. */
  readonly service: string;
  readonly #log: string[] = [];
  /** By process: what the kernel said of something that did not close in time. */
  readonly #unclosed = new Map<string, string>();
  readonly #prefix = `c${randomBytes(4).toString('hex')}`;
  readonly #services: TrialService[] = [];
  readonly #ports: TrialPort[] = [];
  readonly #gates: Gate[] = [];
  readonly #grave = this.gate();
  readonly #dead = new Set<string>();
  #channels = 0;
  #away = false;

  constructor(
    readonly environment: ConformanceEnvironment,
    readonly cluster: ConformanceCluster,
    seed: number,
  ) {
    this.random = new SeededRandom(seed);
    this.patience = environment.patience ?? 10_000;
    this.silence = environment.silence ?? 200;
    this.service = this.name('shop');
    // Abilities are static: a provider that is never started tells them.
    this.abilities = cluster.provider(this.name('probe')).create(this.#context('probe', this.service)).abilities;
  }

  /** A name that no other case uses. */
  name(what: string): string {
    return `${this.#prefix}-${what}`;
  }

  /** A channel that no other case uses. */
  channel(): string {
    return this.name(`channel-${++this.#channels}`);
  }

  /** An event with `key` as its ordering key, in a channel of its own unless one is given. */
  keyedEvent(options: EventOptions = {}): EventClass<Sample> {
    return this.event({ key: 'key', ...options });
  }

  /** An event without a key. */
  event(options: EventOptions = {}): EventClass<Sample> {
    const channel = options.channel ?? this.channel();
    return sampleEvent({ name: channel, durable: this.abilities.durable !== false, ...options, channel });
  }

  journal(): Journal {
    return new Journal((instance) => this.#dead.has(instance), this.#grave);
  }

  /** Opened, at the latest, when the case is over. */
  gate(): Gate {
    const gate = new Gate();
    this.#gates.push(gate);
    return gate;
  }

  /** Starts a process. @param instance unique within the case, unless one of that name was stopped */
  async start(instance: string, plan: ServicePlan): Promise<TrialService> {
    const service = this.create(instance, plan);
    await inTime(`the start of ${instance}`, service.runtime.start(), this.patience);
    return service;
  }

  /** A process that is not started yet. */
  create(instance: string, plan: ServicePlan): TrialService {
    const name = this.name(instance);
    // A broker that is away may take all of the patience to come back.
    const publishTimeout = Math.max(30_000, this.patience);
    const options = { startTimeout: this.patience, drain: this.patience, publishTimeout, ...plan.options };
    const provider = this.cluster.provider(name);
    const service = new TrialService(
      plan.service ?? this.service,
      name,
      { ...plan, options },
      provider,
      this.abilities,
      this.#logger(instance),
    );
    this.#services.push(service);
    return service;
  }

  /** Starts a process of another service, which only sends. */
  sender(
    events: readonly EventClass<Sample>[],
    instance = 'sender',
    pipelines: readonly EnvelopePipeline[] = [],
  ): Promise<TrialService> {
    return this.start(instance, { service: this.name(`${instance}s`), sends: events, pipelines });
  }

  /** Starts a process that uses the port. @param options of the context */
  async port(
    instance: string,
    channels: readonly string[],
    options: Partial<ProviderContext> = {},
  ): Promise<TrialPort> {
    const port = this.unstarted(instance, options);
    await inTime(
      `start() of ${instance}`,
      port.provider.start(channels.map((name) => ({ name, durable: this.abilities.durable !== false }))),
      this.patience,
    );
    return port;
  }

  /** A process that uses the port and has not called start(). */
  unstarted(instance: string, options: Partial<ProviderContext> = {}): TrialPort {
    const context = { ...this.#context(instance, this.service), ...options };
    const port = new TrialPort(this.cluster.provider(context.instance), context);
    this.#ports.push(port);
    return port;
  }

  /** Makes the process behind a service or a port die. Only where the cluster can. */
  async crash({ instance }: { readonly instance: string }): Promise<void> {
    this.#dead.add(instance);
    await this.cluster.crash?.(instance);
  }

  /** The broker goes away; it is back, at the latest, when the case is over. Only where the cluster can. */
  async disconnect(): Promise<void> {
    this.#away = true;
    await this.cluster.disconnect?.();
  }

  async connect(): Promise<void> {
    await this.cluster.connect?.();
    this.#away = false;
  }

  async stop(process: TrialService | TrialPort): Promise<void> {
    const stopped = process instanceof TrialPort ? process.stop() : process.runtime.stop();
    await inTime(
      `stop() of ${process instanceof TrialPort ? process.context.instance : process.instance}`,
      stopped,
      this.patience * 2,
    );
    if (process instanceof TrialPort) return;
    // The kernel waits for a provider no longer than it must, and says so.
    const late = this.#unclosed.get(process.instance);
    if (late !== undefined && !this.#dead.has(process.instance)) throw new Error(late);
  }

  until(what: string, check: () => boolean | Promise<boolean>, tell?: () => string): Promise<void> {
    return eventually(what, check, this.patience, tell);
  }

  /** As the promise does, but within the patience. */
  inTime<T>(what: string, promise: Promise<T>): Promise<T> {
    return inTime(what, promise, this.patience);
  }

  /** For showing that nothing comes: long enough for what would. */
  async quiet(): Promise<void> {
    await pause(this.silence);
  }

  pause(milliseconds: number): Promise<void> {
    return pause(milliseconds);
  }

  /** The last things that its processes logged. */
  lastWords(): string {
    return this.#log.slice(-LAST_LINES).join('\n');
  }

  /** Ends every process. Rejects where one does not end. */
  async close(): Promise<void> {
    for (const gate of this.#gates) gate.open();
    if (this.#away) await this.connect();
    const stops = [...this.#services, ...this.#ports].map((process) => this.stop(process));
    const ends = await Promise.allSettled(stops);
    await this.cluster.close();
    const bad = ends.find((end) => end.status === 'rejected');
    if (bad !== undefined) throw bad.reason;
  }

  #context(instance: string, service: string): ProviderContext {
    return {
      name: 'default',
      service,
      instance: this.name(instance),
      topology: 'create',
      publishTimeout: 30_000,
      rebalanceDrain: 5_000,
      maxBodyBytes: 1_000_000,
      clock: systemClock,
      logger: this.#logger(instance),
      onStatus: () => undefined,
    };
  }

  #logger(instance: string): ProviderLogger {
    const write = (level: string) => (text: string) =>
      void this.#log.push(`${instance} ${level}: ${text.slice(0, 400)}`);
    const warn = (text: string): void => {
      write('warn')(text);
      if (text.includes('did not close within')) this.#unclosed.set(this.name(instance), text);
    };
    return { log: () => undefined, debug: () => undefined, warn, error: write('error') };
  }
}
