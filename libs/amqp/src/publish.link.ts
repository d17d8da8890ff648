import type { Sender, Session } from 'rhea';
import type { AmqpConnection } from './amqp.connection.js';
import { asError } from './amqp.errors.js';
import { internalsOf } from './rhea.internals.js';
import type { QueuedMessage } from './queued.message.js';

/** A link that the broker ends so often in a row has something against the message at its head. */
const PATIENCE = 3;

export interface PublishLinkHost {
  readonly connection: AmqpConnection | undefined;
  /** By rhea's link. */
  readonly owners: WeakMap<object, PublishLink>;
  session(): Session | undefined;
  /** Sees that there is something to send to. */
  prepare(target: string): Promise<void>;
  failed(link: PublishLink, error: Error, messages: readonly QueuedMessage[]): void;
  /** By the time that is given, milliseconds from now. */
  later(fn: () => void, ms: number): void;
}

/** What is sent to one address or queue, in order: what waits, and what is on its way. */
export class PublishLink {
  /** Sent and not answered, by delivery id, in order. */
  readonly flying = new Map<number, QueuedMessage>();
  private waiting: QueuedMessage[] = [];
  private head = 0;
  private sender: Sender | undefined;
  private opening = false;
  private ends = 0;

  constructor(
    readonly target: string,
    private readonly host: PublishLinkHost,
  ) {}

  get isIdle(): boolean {
    return this.flying.size === 0 && this.head === this.waiting.length;
  }

  add(message: QueuedMessage): void {
    this.waiting.push(message);
  }

  /** Sends what the broker allows. */
  pump(): void {
    const { sender } = this;
    const { connection } = this.host;
    if (this.head === this.waiting.length || connection === undefined) return;
    if (sender === undefined) {
      if (!this.opening) void this.open(connection);
      return;
    }
    const { outgoing } = internalsOf(sender.session);
    // rhea takes a delivery off the credit only when it writes it.
    let allowed = Math.min(
      (sender as unknown as { credit: number }).credit - (outgoing.next_delivery_id - outgoing.next_pending_delivery),
      outgoing.deliveries.available(),
    );
    if (allowed > 0) connection.cork();
    while (allowed > 0 && this.head < this.waiting.length) {
      const message = this.waiting[this.head++] as QueuedMessage;
      if (message.done) continue;
      message.sending = true;
      this.flying.set(sender.send(message.bytes, undefined, 0).id, message);
      allowed--;
    }
    if (this.head === this.waiting.length || this.head > 4096) {
      this.waiting.splice(0, this.head);
      this.head = 0;
    }
  }

  /** The broker's answer to one of those on their way. */
  answered(deliveryId: number): QueuedMessage | undefined {
    const message = this.flying.get(deliveryId);
    if (message === undefined) return undefined;
    this.flying.delete(deliveryId);
    this.ends = 0;
    return message;
  }

  /** The connection is gone: what was on its way is sent again, before the rest. */
  lost(): void {
    this.sender = undefined;
    this.opening = false;
    const again: QueuedMessage[] = [];
    for (const message of this.flying.values()) {
      message.sending = false;
      if (message.done) continue;
      message.mayBeStored = true;
      again.push(message);
    }
    this.flying.clear();
    if (again.length === 0 && this.head === 0) return;
    this.waiting = [...again, ...this.waiting.slice(this.head)];
    this.head = 0;
  }

  /** Forgets those that have an answer. */
  prune(): void {
    this.waiting = this.waiting.slice(this.head).filter((message) => !message.done);
    this.head = 0;
  }

  /** Everything that waits. */
  takeAll(): readonly QueuedMessage[] {
    const all = this.waiting.slice(this.head).filter((message) => !message.done);
    this.waiting = [];
    this.head = 0;
    return all;
  }

  close(): void {
    this.sender?.close();
    this.sender = undefined;
  }

  private async open(connection: AmqpConnection): Promise<void> {
    this.opening = true;
    try {
      await this.host.prepare(this.target);
      const session = connection.isLost ? undefined : this.host.session();
      if (session === undefined) return;
      await this.attach(connection, session);
    } catch (error) {
      if (connection.isLost || connection !== this.host.connection) return;
      this.opening = false;
      this.host.failed(this, asError(error, 'the broker gave no link'), this.takeAll());
    }
  }

  /** Resolves when the broker lets something be sent: it opens a link also where it is about to refuse it. */
  private attach(connection: AmqpConnection, session: Session): Promise<void> {
    return new Promise((resolve, reject) => {
      const sender = session.open_sender({ target: { address: this.target }, snd_settle_mode: 0, autosettle: false });
      this.host.owners.set(sender, this);
      sender.on('sender_error', () => undefined);
      sender.on('sender_flow', () => {
        if (this.opening && connection === this.host.connection) {
          this.opening = false;
          this.sender = sender;
          resolve();
        }
        this.pump();
      });
      sender.on('sender_close', () => {
        const error = asError(sender.error, 'the broker closed the link');
        if (this.sender === sender) this.ended(error);
        else reject(error);
      });
      connection.onLost(reject);
    });
  }

  /** By the broker, while the connection goes on. */
  private ended(error: Error): void {
    const first = this.flying.values().next().value;
    this.lost();
    if (++this.ends >= PATIENCE && first !== undefined) {
      this.ends = 0;
      this.host.failed(this, error, [first]);
      this.prune();
    }
    this.host.later(() => this.pump(), 50 * this.ends + 1);
  }
}
