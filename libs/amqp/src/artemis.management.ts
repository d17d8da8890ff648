import { randomUUID } from 'node:crypto';
import type { Message, Receiver, Sender, Session } from 'rhea';
import type { AmqpConnection } from './amqp.connection.js';
import { asError, BrokerError } from './amqp.errors.js';
import { answeredIn } from './management.answer.js';

const ADDRESS = 'activemq.management';

interface Question {
  readonly resolve: (answer: Message) => void;
  readonly reject: (error: Error) => void;
}

/** Artemis's management, by messages, over one connection. Its answers come in the order in which it likes. */
export class Management {
  private readonly questions = new Map<string, Question>();
  private links: Promise<{ readonly sender: Sender; readonly replyTo: string }> | undefined;

  constructor(
    private readonly connection: AmqpConnection,
    private readonly timeout: number,
  ) {}

  /** Rejects with a `BrokerError` where the broker refuses, and with another error where it does not answer. */
  async call(resource: string, operation: string, ...args: readonly unknown[]): Promise<unknown> {
    this.links ??= this.open();
    const opening = this.links;
    opening.catch(() => {
      if (this.links === opening) this.links = undefined;
    });
    const { sender, replyTo } = await opening;
    const id = randomUUID();
    const answer = await this.within(
      `${resource}.${operation}`,
      new Promise<Message>((resolve, reject) => {
        this.questions.set(id, { resolve, reject });
        const delivery = sender.send({
          reply_to: replyTo,
          correlation_id: id,
          application_properties: { _AMQ_ResourceName: resource, _AMQ_OperationName: operation },
          body: JSON.stringify(args),
        });
        sender.on('rejected', function refused({ delivery: which }) {
          if (which !== delivery) return;
          sender.off('rejected', refused);
          const error: unknown = which.remote_state?.['error' as keyof typeof which.remote_state];
          reject(asError(error, 'the management refused the question'));
        });
      }),
    ).finally(() => this.questions.delete(id));
    return resultOf(answer, `${resource}.${operation}`);
  }

  private async open(): Promise<{ readonly sender: Sender; readonly replyTo: string }> {
    const session = this.connection.openSession();
    const [replyTo, sender] = await this.within(
      'opening links',
      Promise.all([this.openReceiver(session), this.openSender(session)]),
    );
    sender.setMaxListeners(0);
    return { sender, replyTo };
  }

  private openReceiver(session: Session): Promise<string> {
    return new Promise((resolve, reject) => {
      const receiver: Receiver = session.open_receiver({ source: { dynamic: true } });
      receiver.on('receiver_error', () => undefined);
      receiver.on('receiver_close', () => {
        this.end(asError(receiver.error, 'the management closed its link'));
        reject(asError(receiver.error, 'the management closed its link'));
      });
      receiver.once('receiver_open', () => {
        const address: unknown = (receiver.source as { address?: unknown } | null)?.address;
        if (typeof address === 'string') resolve(address);
      });
      receiver.on('message', ({ message }) => {
        if (message !== undefined) this.questions.get(String(message.correlation_id))?.resolve(message);
      });
    });
  }

  private openSender(session: Session): Promise<Sender> {
    return new Promise((resolve, reject) => {
      const sender = session.open_sender({ target: { address: ADDRESS } });
      sender.on('sender_error', () => undefined);
      sender.on('sender_close', () => {
        this.end(asError(sender.error, 'the management closed its link'));
        reject(asError(sender.error, 'the management closed its link'));
      });
      for (const event of ['accepted', 'released', 'modified', 'settled']) sender.on(event, () => undefined);
      sender.once('sendable', () => resolve(sender));
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

function resultOf({ body, application_properties: properties }: Message, operation: string): unknown {
  const text: unknown = body;
  const answer: unknown = typeof text === 'string' ? JSON.parse(text) : undefined;
  const result: unknown = Array.isArray(answer) ? answer[0] : undefined;
  if (properties?.['_AMQ_OperationSucceeded'] === true) return result;
  throw new BrokerError('amqp:internal-error', `${operation}: ${String(result)}`);
}
