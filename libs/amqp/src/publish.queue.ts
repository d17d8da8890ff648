import {
  type Clock,
  EventingError,
  type ErrorCode,
  PublishCall,
  type PublishFailure,
  settledWithin,
  type Timer,
} from 'nestjs-eventing';
import type { Session } from 'rhea';
import type { AmqpConnection } from './amqp.connection.js';
import { BrokerError, refusal } from './amqp.errors.js';
import { PublishLink, type PublishLinkHost } from './publish.link.js';
import { QueuedMessage } from './queued.message.js';
import { UnroutedMessages } from './unrouted.messages.js';
import { connectionInternals, type DescribedState, type DispositionFrame, internalsOf } from './rhea.internals.js';

export interface TargetedMessage {
  /** An address, or a queue by its full name. */
  readonly target: string;
  readonly bytes: Buffer;
}

export interface PublishQueueOptions {
  readonly publishTimeout: number;
  readonly clock: Clock;
  prepare(target: string): Promise<void>;
  /** Of a target whose messages the broker gave back: resolves where that is as it should be, and rejects with why it is not. */
  unrouted(target: string): Promise<void>;
}

const STOPPED = 'The AMQP provider is stopped.';
/** Idle links above this are closed. */
const MOST_LINKS = 512;
const ACCEPTED = 0x24;
const REJECTED = 0x25;
const RELEASED = 0x26;

/**
 * Keeps messages in order and sends them as quickly as the broker allows, without waiting for an answer in between. What had no
 * answer when a connection ended is sent again, in order, before anything later for the same address.
 */
export class PublishQueue implements PublishLinkHost {
  connection: AmqpConnection | undefined;
  private readonly links = new Map<string, PublishLink>();
  private readonly calls: PublishCall<QueuedMessage>[] = [];
  private firstCall = 0;
  /** Whose a link of rhea's is. */
  readonly owners = new WeakMap<object, PublishLink>();
  private current: Session | undefined;
  private expiry: Timer | undefined;
  private readonly laters = new Set<Timer>();
  private lastError: Error | undefined;
  private closed = false;
  private idle: (() => void) | undefined;

  private readonly unrouted: UnroutedMessages;

  constructor(private readonly options: PublishQueueOptions) {
    this.unrouted = new UnroutedMessages(
      (target) => options.unrouted(target),
      (target, messages, refused) => this.decided(target, messages, refused),
    );
  }

  /** Resolves when each message is stored or has failed. Never rejects. */
  publish(messages: readonly TargetedMessage[]): Promise<readonly PublishFailure[]> {
    if (messages.length === 0) return Promise.resolve([]);
    if (this.closed) {
      const error = new EventingError('EVT_NOT_RUNNING', STOPPED);
      return Promise.resolve(messages.map((_, index) => ({ index, error, indeterminate: false })));
    }
    return new Promise((resolve) => {
      const deadline = this.options.clock.now() + this.options.publishTimeout;
      const call = new PublishCall<QueuedMessage>(messages.length, deadline, resolve);
      const touched = new Set<PublishLink>();
      for (let index = 0; index < messages.length; index++) {
        const { target, bytes } = messages[index] as TargetedMessage;
        const link = this.linkTo(target);
        const message = new QueuedMessage(call, index, bytes);
        call.messages.push(message);
        link.add(message);
        touched.add(link);
      }
      this.calls.push(call);
      if (this.expiry === undefined) this.watch();
      for (const link of touched) link.pump();
    });
  }

  /** Rejects with the `EventingError` of the one message. */
  async publishOne(message: TargetedMessage): Promise<void> {
    const [failure] = await this.publish([message]);
    if (failure !== undefined) throw failure.error;
  }

  up(connection: AmqpConnection): void {
    this.connection = connection;
    for (const link of this.links.values()) link.pump();
  }

  down(cause: Error): void {
    this.lastError = cause;
    this.connection = undefined;
    this.current = undefined;
    for (const link of this.links.values()) link.lost();
    this.forgetAnswered();
  }

  /** Takes nothing more. Resolves when everything taken is answered, at the latest after `patience` milliseconds. */
  async close(patience: number): Promise<void> {
    this.closed = true;
    if (this.firstCall < this.calls.length)
      await settledWithin(new Promise<void>((resolve) => (this.idle = resolve)), patience);
    this.expiry?.cancel();
    for (const timer of this.laters) timer.cancel();
    for (const call of this.calls.slice(this.firstCall))
      this.giveUp(call, 'EVT_NOT_RUNNING', `${STOPPED} The broker had not confirmed the event.`);
  }

  session(): Session | undefined {
    if (this.current !== undefined || this.connection === undefined) return this.current;
    this.current = this.connection.openSession();
    internalsOf(this.current).on_disposition = (frame) => this.answered(frame);
    return this.current;
  }

  prepare(target: string): Promise<void> {
    return this.options.prepare(target);
  }

  failed(link: PublishLink, error: Error, messages: readonly QueuedMessage[]): void {
    this.lastError = error;
    for (const message of messages) this.fail(message, refusal(error, link.target, message.mayBeStored));
    this.forgetAnswered();
  }

  later(fn: () => void, ms: number): void {
    const timer = this.options.clock.setTimeout(() => {
      this.laters.delete(timer);
      fn();
    }, ms);
    this.laters.add(timer);
  }

  private linkTo(target: string): PublishLink {
    let link = this.links.get(target);
    if (link !== undefined) return link;
    if (this.links.size >= MOST_LINKS)
      for (const [name, old] of this.links)
        if (old.isIdle) {
          old.close();
          this.links.delete(name);
          break;
        }
    link = new PublishLink(target, this);
    this.links.set(target, link);
    return link;
  }

  private answered({ performative }: DispositionFrame): void {
    const { first, state } = performative;
    const last = performative.last ?? first;
    const session = this.current;
    if (session === undefined) return;
    const { deliveries } = internalsOf(session).outgoing;
    const code = Number(state?.descriptor?.value ?? ACCEPTED);
    for (let id = first; id <= last; id++) {
      const delivery = deliveries.by_id(id);
      if (delivery === undefined) continue;
      // rhea frees its place when both sides have settled.
      delivery.settled = delivery.remote_settled = true;
      const link = this.owners.get(delivery.link);
      const message = link?.answered(id);
      if (link === undefined || message === undefined) continue;
      message.sending = false;
      if (message.done) continue;
      if (code === ACCEPTED) this.stored(message);
      else if (code === RELEASED) this.unrouted.add(link.target, message);
      else this.fail(message, refusal(reasonOf(code, state), link.target));
    }
    this.forgetAnswered();
    // rhea moves on after this; then there is room.
    connectionInternals(session.connection)._register();
    for (const link of this.links.values()) link.pump();
  }

  private decided(target: string, messages: readonly QueuedMessage[], refused: Error | undefined): void {
    for (const message of messages) {
      if (message.done) continue;
      if (refused === undefined) this.stored(message);
      else this.fail(message, refusal(refused, target));
    }
    this.forgetAnswered();
  }

  private stored(message: QueuedMessage): void {
    message.call.stored(message);
  }

  private fail(message: QueuedMessage, error: EventingError): void {
    message.call.failed(message, error, error.indeterminate);
  }

  private expire(): void {
    const now = this.options.clock.now();
    for (let at = this.firstCall; at < this.calls.length; at++) {
      const call = this.calls[at] as PublishCall<QueuedMessage>;
      if (call.deadline > now) break;
      this.giveUp(call, 'EVT_PUBLISH_TIMEOUT', this.timeoutMessage());
    }
    for (const link of this.links.values()) link.prune();
    this.forgetAnswered();
  }

  private giveUp(call: PublishCall<QueuedMessage>, code: ErrorCode, text: string): void {
    for (const message of call.messages) {
      if (message.done) continue;
      const indeterminate = message.sending || message.mayBeStored;
      this.fail(message, new EventingError(code, text, { indeterminate, cause: this.lastError }));
    }
  }

  private timeoutMessage(): string {
    const why = this.lastError === undefined ? '' : `: ${this.lastError.message}`;
    return `The broker did not confirm the event within ${this.options.publishTimeout / 1000} s (\`publishTimeout\`)${why}.`;
  }

  private forgetAnswered(): void {
    while (this.firstCall < this.calls.length && this.calls[this.firstCall]?.open === false) this.firstCall++;
    if (this.firstCall > 1024 || this.firstCall === this.calls.length) {
      this.calls.splice(0, this.firstCall);
      this.firstCall = 0;
    }
    if (this.closed && this.calls.length === 0) this.idle?.();
  }

  /** Deadlines are in call order, so one timer for the first open call is enough; it is not moved for each. */
  private watch(): void {
    this.expiry = undefined;
    const first = this.calls[this.firstCall];
    if (first === undefined) return;
    this.expiry = this.options.clock.setTimeout(
      () => {
        this.expire();
        this.watch();
      },
      Math.max(1, first.deadline - this.options.clock.now()),
    );
  }
}

function reasonOf(code: number, state: DescribedState | null | undefined): Error {
  if (code !== REJECTED) return new BrokerError('amqp:internal-error', 'it gave the message back');
  const [error] = Array.isArray(state?.value) ? (state.value as readonly { readonly value?: unknown }[]) : [];
  const [condition, description] = Array.isArray(error?.value)
    ? (error.value as readonly { readonly value?: unknown }[])
    : [];
  return new BrokerError(text(condition?.value, 'amqp:rejected'), text(description?.value, ''));
}

function text(value: unknown, otherwise: string): string {
  return typeof value === 'string' ? value : otherwise;
}
