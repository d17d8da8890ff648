import { EventingError } from '../errors/eventing.error.js';
import type {
  OutgoingMessage,
  ProviderContext,
  PublishFailure,
  Subscriber,
  Subscription,
  SubscriptionHandle,
} from '../provider/event-provider.js';
import type { MemoryBroker } from './memory.broker.js';
import type { QueueMember } from './queue.member.js';

/** Why a connection does nothing any more. */
type End = 'stopped' | 'crashed';

/** One provider's line to the broker: waits while the broker is away, and is of no use once stopped or crashed. */
export class MemoryConnection {
  private end: End | undefined;
  /** A line with subscriptions keeps the process alive, as the socket to a real broker does. */
  private alive: NodeJS.Timeout | undefined;
  /** Its subscriptions; each takes itself out when it leaves. */
  readonly members = new Set<QueueMember>();
  /** Calls that wait for the broker; each is ended by what it gets. */
  private readonly waiting = new Set<(error: EventingError) => void>();

  constructor(
    private readonly broker: MemoryBroker,
    readonly context: ProviderContext,
  ) {}

  /** Resolves when the broker can be reached. */
  async open(): Promise<void> {
    this.broker.attach(this);
    await this.reachable();
    this.notify('connected');
  }

  async publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishFailure[]> {
    if (this.end !== undefined) throw this.ended();
    if (!this.broker.line.up) return this.publishLater(messages);
    const failures = this.broker.store(messages, this.context.service);
    const breath = this.broker.breath();
    if (breath !== undefined) await breath;
    return failures;
  }

  async subscribe(subscription: Subscription, subscriber: Subscriber): Promise<SubscriptionHandle> {
    if (!this.broker.line.up) await this.reachable();
    if (this.end !== undefined) throw this.ended();
    this.alive ??= setInterval(() => undefined, 2 ** 30);
    return this.broker.subscribe(subscription, this.context, subscriber, this.members);
  }

  /** Throws where nothing it says gets through: it is stopped, or crashed, or the broker is away. */
  reach(): void {
    if (this.end !== undefined) throw this.ended();
    if (this.broker.line.up) return;
    throw new EventingError('EVT_CONNECTION', 'the in-memory broker was disconnected: faults.disconnect()');
  }

  /** Idempotent. */
  close(): void {
    this.finish('stopped');
  }

  /** The process dies: see `MemoryFaults.crash`. */
  die(): void {
    this.finish('crashed');
  }

  /** The broker is away. */
  lose(cause: EventingError): void {
    for (const member of this.members) member.disconnect();
    this.notify('disconnected', cause);
  }

  notify(status: 'connected' | 'disconnected', cause?: unknown): void {
    if (this.end === undefined) this.context.onStatus(status, cause);
  }

  private finish(end: End): void {
    if (this.end !== undefined) return;
    this.end = end;
    clearInterval(this.alive);
    this.broker.detach(this);
    for (const giveUp of this.waiting) giveUp(this.ended());
    for (const member of this.members) member.leave(end === 'crashed');
  }

  private async reachable(): Promise<void> {
    if (this.end !== undefined) throw this.ended();
    if (!this.broker.line.up) await this.whenUp(() => undefined).result;
  }

  /** In place among those who wait. What is not stored by `publishTimeout` never will be, so the failure is certain. */
  private async publishLater(messages: readonly OutgoingMessage[]): Promise<readonly PublishFailure[]> {
    const { clock, publishTimeout, service } = this.context;
    const call = this.whenUp(() => this.broker.store(messages, service));
    const timer = clock.setTimeout(() => {
      const message = `the in-memory broker was away for ${publishTimeout} ms (publishTimeout)`;
      call.giveUp(new EventingError('EVT_PUBLISH_TIMEOUT', message));
    }, publishTimeout);
    try {
      return await call.result;
    } catch (error) {
      return messages.map((_, index) => ({ index, error: error as Error, indeterminate: false }));
    } finally {
      timer.cancel();
    }
  }

  /** What `fn` returns once the broker is back; or a rejection, if it is given up before. */
  private whenUp<T>(fn: () => T): { readonly result: Promise<T>; giveUp(error: EventingError): void } {
    let giveUp: (error: EventingError) => void = () => undefined;
    const result = new Promise<T>((resolve, reject) => {
      const waiter = this.broker.line.wait(() => {
        this.waiting.delete(giveUp);
        try {
          resolve(fn());
        } catch (error) {
          reject(error);
        }
      });
      giveUp = (error) => {
        waiter.cancel();
        this.waiting.delete(giveUp);
        reject(error);
      };
      this.waiting.add(giveUp);
    });
    return { result, giveUp };
  }

  private ended(): EventingError {
    const who = `provider "${this.context.name}" of instance "${this.context.instance}"`;
    return this.end === 'crashed'
      ? new EventingError('EVT_CONNECTION', `${who} crashed: faults.crash()`)
      : new EventingError('EVT_NOT_RUNNING', `${who} was stopped`);
  }
}
