import { randomUUID } from 'node:crypto';
import type { EventingRuntime, ListenerDefinition, ListenerSource } from 'nestjs-eventing';
import { PendingRequests } from './pending.requests.js';
import { type Reply, replyChannelOf, replyEvent, REPLY_INSTANCE } from './reply.js';

/**
 * Hears the replies for one runtime: all processes of a service share a channel, each takes what names it as the destination.
 */
export class ReplyListener {
  /** Names this listener in requests. */
  readonly instance = randomUUID();
  #pending: PendingRequests | undefined;
  #runtime: EventingRuntime | undefined;
  #heard = false;

  constructor(private readonly most: number) {}

  /** For whoever makes the runtime: its source is needed before it is there. */
  attach(runtime: EventingRuntime): void {
    this.#runtime = runtime;
    this.#pending = new PendingRequests(runtime.options.clock, this.most);
  }

  get pending(): PendingRequests {
    return this.#pending as PendingRequests;
  }

  get channel(): string {
    return replyChannelOf(this.#runtime?.options.service ?? '');
  }

  /** Subscribed once: from then on replies are kept by the broker while it is away. */
  get isListening(): boolean {
    this.#heard ||= this.#runtime?.ready === true;
    return this.#heard;
  }

  readonly source: ListenerSource = (registry) => {
    const definition: ListenerDefinition = {
      label: 'EventingClient',
      events: [registry.describe(replyEvent(registry, this.channel))],
      options: { name: 'nest-replies', perProcess: true, concurrency: 256, retry: { attempts: 1 }, unknown: 'skip' },
      invoke: (reply, envelope) => {
        if (envelope.headers.get(REPLY_INSTANCE) === this.instance) this.pending.take(reply as Reply);
      },
    };
    return { listeners: [definition], problems: [] };
  };
}

// One runtime has one, whatever the number of its clients: two would be two subscriptions. Weak: it goes with its runtime.
const listeners = new WeakMap<EventingRuntime, ReplyListener>();

/** That of an application's runtime. @throws EventingError EVT_BRIDGE_LATE where the application has started */
export function replyListenerOf(runtime: EventingRuntime, most: number): ReplyListener {
  const known = listeners.get(runtime);
  if (known !== undefined) return known;
  const made = new ReplyListener(most);
  made.attach(runtime);
  runtime.add(made.source);
  listeners.set(runtime, made);
  return made;
}
