import { randomUUID } from 'node:crypto';
import type { EventListener } from '../declare/event-listener.decorator.js';
import { EventingError } from '../errors/eventing.error.js';
import type { StartPosition } from '../provider/event-provider.js';
import type { ProviderHost } from '../provider/provider.host.js';
import type { ListenerDescriptor } from '../registry/listener.descriptor.js';
import type { SubscriptionPlan } from '../registry/listener.plan.js';
import { EventReplays, type Replay, type ReplayOptions, type ReplayReport } from './event-replays.js';
import type { OpenReplay, SubscriptionOpener } from './subscription.opener.js';
import type { Subscriptions } from './subscriptions.js';

export interface ReplaysOptions {
  readonly opener: SubscriptionOpener;
  readonly subscriptions: Subscriptions;
  /** Milliseconds for which an end waits for listeners at work. */
  readonly drain: number;
  readonly host: (provider: string) => ProviderHost;
  /** The subscription of a listener. @throws EventingError EVT_UNKNOWN_LISTENER, EVT_NOT_RUNNING */
  readonly plan: (listener: string) => SubscriptionPlan;
}

/** The replays of one application. */
export class Replays extends EventReplays {
  readonly #running = new Set<Replay>();

  constructor(private readonly options: ReplaysOptions) {
    super();
  }

  override list(): readonly Replay[] {
    return [...this.#running];
  }

  override async start<T extends object>(options: ReplayOptions<T>): Promise<Replay> {
    const plan = this.options.plan(options.listener);
    const listener = plan.listeners.find(({ name }) => name === options.listener) as ListenerDescriptor;
    const host = this.options.host(plan.provider);
    const { kind, abilities } = host.provider;
    const refuse = (why: string): never => {
      throw new EventingError('EVT_REPLAY_REFUSED', `${listener.label} cannot be replayed: ${why}.`);
    };
    if (!listener.replay) refuse('it says replay: false');
    if (!abilities.replay) refuse(`${kind} keeps nothing of the past (abilities.replay is false)`);
    if (abilities.boundedReplay !== true)
      refuse(`${kind} cannot tell where the past ends (abilities.boundedReplay is not declared)`);
    const from =
      startOf(options.from) ?? refuse('from must be earliest, a Date, milliseconds since 1970, or { positions }');
    const events = listener.events.filter(({ channel }) => channel === (options.channel ?? channel));
    const channels = [...new Set(events.map(({ channel }) => channel))];
    if (events.length === 0)
      refuse(
        `it listens to nothing on the channel "${String(options.channel).slice(0, 200)}", but to ${plan.channels.join(', ')}`,
      );
    const id = randomUUID();
    const name = `${plan.name}#replay-${id}`;
    const again = replayed(listener, events, from, options.handler);
    const own: SubscriptionPlan = {
      ...plan,
      channels,
      listeners: [again],
      name: options.handler === undefined ? plan.name : name,
    };
    await host.connect();
    // Meanwhile it may have been unsubscribed, or the application has begun to stop; and again further down.
    this.options.plan(options.listener);
    const open = await this.options.opener.replay(own, name);
    try {
      this.options.plan(options.listener);
    } catch (error) {
      await open.running.drain(this.options.drain);
      await open.running.leave();
      throw error;
    }
    const replay = new StartedReplay(id, listener.name, open, this.options);
    this.#running.add(replay);
    void replay.ended.then(() => this.#running.delete(replay));
    return replay;
  }
}

class StartedReplay implements Replay {
  readonly ended: Promise<ReplayReport>;
  #complete = false;
  #end: (() => void) | undefined;

  constructor(
    readonly id: string,
    readonly listener: string,
    private readonly open: OpenReplay,
    private readonly options: ReplaysOptions,
  ) {
    const { running, handle } = open;
    options.subscriptions.addReplay(running);
    // By its provider when all is settled, by whoever stops it, or by the listener itself.
    const over = new Promise<void>((resolve) => {
      this.#end = resolve;
      void handle.ended?.then((end) => {
        this.#complete = end !== 'incomplete' && running.stopped === undefined && !running.left;
        resolve();
      });
      running.onStop(resolve);
    });
    this.ended = over.then(async () => {
      await options.subscriptions.end(running, options.drain);
      return { ...this.progress(), complete: this.#complete };
    });
  }

  progress(): Omit<ReplayReport, 'complete'> {
    const { handled, skipped, deadLettered, discarded } = this.open.tally;
    const { stopped } = this.open.running;
    return { handled, skipped, deadLettered, discarded, ...(stopped === undefined ? {} : { stopped }) };
  }

  stop(): Promise<ReplayReport> {
    this.#end?.();
    return this.ended;
  }
}

/** `undefined`: it is no position. */
function startOf(from: unknown): StartPosition | undefined {
  if (from === 'earliest') return from;
  if (from instanceof Date || typeof from === 'number')
    return Number.isFinite(Number(from)) ? { time: Number(from) } : undefined;
  if (typeof from !== 'object' || from === null || !('positions' in from)) return undefined;
  const { positions } = from;
  return typeof positions === 'object' && positions !== null
    ? { positions: positions as Readonly<Record<string, string>> }
    : undefined;
}

function replayed(
  listener: ListenerDescriptor,
  events: ListenerDescriptor['events'],
  from: StartPosition,
  handler: EventListener['on'] | undefined,
): ListenerDescriptor {
  return {
    ...listener,
    events,
    from,
    perProcess: true,
    durable: false,
    // There is no position that could be part of a transaction, and an inbox would know each event already.
    guarantee: 'at-least-once',
    unknown: 'skip',
    ...(handler === undefined ? {} : { batch: undefined, invoke: handler }),
  };
}
