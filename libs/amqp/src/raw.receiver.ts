import rhea, { type Receiver, type ReceiverOptions, type Session } from 'rhea';
import frames from 'rhea/lib/frames.js';
import type { AmqpConnection } from './amqp.connection.js';
import { asError } from './amqp.errors.js';
import { connectionInternals, internalsOf, type ReceiverInternals, type TransferFrame } from './rhea.internals.js';

const EMPTY = Buffer.alloc(0);
/** Frames of rhea's incoming window that may be left before it is opened again. */
const LOW_WINDOW = 1024;

export interface Transfer {
  readonly deliveryId: number;
  readonly payload: Buffer;
}

export interface RawReceiverEvents {
  transfer(transfer: Transfer): void;
  /** The broker ended the link, or the connection is gone. Called once; not for `close()`. */
  ended(cause: Error): void;
}

export const OUTCOME = {
  accepted: (rhea.message as unknown as Outcomes).accepted({}).described(),
  released: (rhea.message as unknown as Outcomes).released({}).described(),
} as const;

type Outcomes = Record<'accepted' | 'released', (fields: object) => { described(): unknown }>;

/** A link that receives, in a session of its own, with bytes instead of rhea's messages and with outcomes for whole ranges. */
export class RawReceiver {
  private readonly partial: Buffer[] = [];
  private partialId = 0;
  private isOver = false;
  private draining: ((cause: Error) => void) | undefined;

  private constructor(
    private readonly connection: AmqpConnection,
    private readonly session: Session,
    private readonly link: Receiver,
    private readonly events: RawReceiverEvents,
  ) {}

  /** Rejects with a `BrokerError` where the broker does not give the link. */
  static open(
    connection: AmqpConnection,
    source: object,
    events: RawReceiverEvents,
    options: Partial<ReceiverOptions> = {},
  ): Promise<RawReceiver> {
    return new Promise((resolve, reject) => {
      const session = connection.openSession();
      const link = session.open_receiver({
        autoaccept: false,
        autosettle: false,
        credit_window: 0,
        snd_settle_mode: 0,
        ...options,
        source,
      });
      const self = new RawReceiver(connection, session, link, events);
      const internals = internalsOf(session);
      internals.on_transfer = (frame) => self.take(frame);
      internals.on_disposition = () => undefined;
      let opened = false;
      const end = (cause: Error): void => {
        if (self.isOver) return;
        self.isOver = true;
        connection.offLost(end);
        self.draining?.(cause);
        if (opened) events.ended(cause);
        else reject(cause);
      };
      const closed = (): void => {
        const { error } = link;
        end(asError(error, 'the broker closed the link'));
        session.close();
      };
      link.on('receiver_error', () => undefined);
      link.on('receiver_close', closed);
      // The broker may end the session alone. A link in it would look as if it were open, and nothing would ever come.
      session.on('session_error', () => undefined);
      session.on('session_close', () => {
        const { error } = session;
        end(asError(error, 'the broker closed the session'));
      });
      link.once('receiver_open', () => {
        // Without a source the broker is about to say why not.
        if ((link.source as unknown) === null || link.source?.address === undefined) return;
        opened = true;
        resolve(self);
      });
      connection.onLost(end);
    });
  }

  get isOpen(): boolean {
    return !this.isOver;
  }

  /** Lets the broker send so many more. */
  allow(credit: number): void {
    if (credit <= 0 || this.isOver) return;
    this.link.add_credit(credit);
  }

  /** Lets it send at most so many, what it has at hand, and resolves when it has. */
  drain(credit: number): Promise<void> {
    const internals = this.link as unknown as ReceiverInternals;
    return new Promise((resolve, reject) => {
      if (this.isOver) return reject(new Error('the link has ended'));
      this.draining = reject;
      this.link.once('receiver_drained', () => {
        this.draining = undefined;
        internals.drain = false;
        resolve();
      });
      this.link.add_credit(credit);
      this.link.drain_credit();
    });
  }

  /** One frame for all deliveries from `first` to `last`. */
  settle(first: number, last: number, outcome: unknown): void {
    if (this.isOver) return;
    internalsOf(this.session).output(frames.disposition({ role: true, first, last, settled: true, state: outcome }));
  }

  /** What was not settled goes back. Resolves when the broker has let go, or the connection is gone. */
  close(): Promise<void> {
    if (this.isOver) return Promise.resolve();
    this.isOver = true;
    return new Promise((resolve) => {
      this.connection.onLost(() => resolve());
      this.session.once('session_close', () => resolve());
      this.link.once('receiver_close', () => {
        this.session.close();
        resolve();
      });
      this.link.close();
    });
  }

  private take({ performative, payload = EMPTY }: TransferFrame): void {
    const { incoming } = internalsOf(this.session);
    incoming.next_transfer_id++;
    if (incoming.max_transfer_id - incoming.next_transfer_id < LOW_WINDOW)
      connectionInternals(this.connection.rhea)._register();
    const more = performative.more === true;
    if (performative.aborted === true) {
      this.partial.length = 0;
      return;
    }
    if (this.partial.length === 0) this.partialId = performative.delivery_id ?? 0;
    if (more) {
      this.partial.push(payload);
      return;
    }
    const link = this.link as unknown as ReceiverInternals;
    link.credit--;
    link.delivery_count++;
    let whole = payload;
    if (this.partial.length > 0) {
      this.partial.push(payload);
      whole = Buffer.concat(this.partial);
      this.partial.length = 0;
    }
    if (!this.isOver) this.events.transfer({ deliveryId: this.partialId, payload: whole });
  }
}
