import { randomUUID } from 'node:crypto';
import type { Message, Receiver, Sender, Session } from 'rhea';
import type { AmqpConnection } from './amqp.connection.js';
import { asError, BrokerError } from './amqp.errors.js';
import { answeredIn } from './management.answer.js';

const NODE = '/management';
/** "This link pair": where the answer goes. */
const ME = '$me';

export type HttpMethod = 'GET' | 'PUT' | 'POST' | 'DELETE';

/** What RabbitMQ says of a queue; what is not listed here is not looked at. */
export interface RabbitMqQueueInfo {
  readonly type?: unknown;
  readonly message_count?: unknown;
  readonly consumer_count?: unknown;
  readonly arguments?: unknown;
}

interface Question {
  readonly resolve: (answer: Message) => void;
  readonly reject: (error: Error) => void;
}

/**
 * RabbitMQ's management over AMQP 1.0: HTTP's methods, paths and status codes in messages, over a pair of links of one name (HTTP over
 * AMQP 1.0, working draft 6, and link pairs). In a session of its own, as the broker ends the session for what is not allowed.
 */
export class RabbitMqManagement {
  private readonly questions = new Map<string, Question>();
  private links: Promise<Sender> | undefined;

  constructor(
    private readonly connection: AmqpConnection,
    private readonly timeout: number,
  ) {}

  /**
   * The body of the answer. Rejects with a `BrokerError`, whose condition is AMQP's for the status, where the broker refuses, and with
   * another error where it does not answer.
   */
  async request(method: HttpMethod, path: string, body: object | null = null): Promise<unknown> {
    this.links ??= this.open();
    const opening = this.links;
    opening.catch(() => {
      if (this.links === opening) this.links = undefined;
    });
    const sender = await opening;
    const id = randomUUID();
    const answered = new Promise<Message>((resolve, reject) => this.questions.set(id, { resolve, reject }));
    sender.send({ message_id: id, to: path, subject: method, reply_to: ME, body });
    const answer = await this.within(`${method} ${path}`, answered).finally(() => this.questions.delete(id));
    return bodyOf(answer, `${method} ${path}`);
  }

  private async open(): Promise<Sender> {
    const session = this.connection.openSession();
    session.on('session_error', () => undefined);
    session.on('session_close', () => {
      const { error } = session;
      this.end(asError(error, 'the management ended its session'));
    });
    const name = randomUUID();
    // rhea knows its links by their names: the second of the pair takes the place of the first, which must be open by then.
    return this.within(
      'opening links',
      this.openSender(session, name).then(async (sender) => {
        await this.openReceiver(session, name);
        return sender;
      }),
    );
  }

  private openSender(session: Session, name: string): Promise<Sender> {
    return new Promise((resolve, reject) => {
      this.refusals(session, reject);
      const sender = session.open_sender({ ...PAIRED, name, snd_settle_mode: 1 });
      sender.on('sender_error', () => undefined);
      sender.on('sender_close', () => {
        const { error } = sender;
        this.end(asError(error, 'the management closed its link'));
      });
      sender.once('sendable', () => resolve(sender));
    });
  }

  private openReceiver(session: Session, name: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.refusals(session, reject);
      const receiver: Receiver = session.open_receiver({ ...PAIRED, name, credit_window: 100 });
      receiver.on('receiver_error', () => undefined);
      receiver.on('receiver_close', () => {
        const { error } = receiver;
        this.end(asError(error, 'the management closed its link'));
      });
      receiver.once('receiver_open', () => resolve());
      receiver.on('message', ({ message }) => {
        if (message !== undefined) this.questions.get(String(message.correlation_id))?.resolve(message);
      });
    });
  }

  /** Whatever ends the pair before it is open. */
  private refusals(session: Session, reject: (error: Error) => void): void {
    session.once('session_close', () => {
      const { error } = session;
      reject(asError(error, 'the broker has no management over AMQP 1.0'));
    });
  }

  private end(cause: Error): void {
    this.links = undefined;
    for (const { reject } of this.questions.values()) reject(cause);
  }

  private within<T>(what: string, work: Promise<T>): Promise<T> {
    return answeredIn(this.timeout, this.connection, what, work);
  }
}

const PAIRED = {
  source: { address: NODE },
  target: { address: NODE },
  properties: { paired: true },
} as const;

/** Conditions of AMQP's that say the same as a status of HTTP's. */
const CONDITIONS: Readonly<Record<string, string>> = {
  400: 'amqp:invalid-field',
  401: 'amqp:unauthorized-access',
  403: 'amqp:unauthorized-access',
  404: 'amqp:not-found',
  409: 'amqp:precondition-failed',
};

function bodyOf({ subject, body }: Message, request: string): unknown {
  const status = String(subject);
  if (/^2\d\d$/.test(status)) return body;
  const said: unknown = body;
  const text = typeof said === 'string' ? said : '';
  throw new BrokerError(CONDITIONS[status] ?? 'amqp:internal-error', `${request}: ${status} ${text}`.trim());
}
