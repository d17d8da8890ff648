import type { AmqpConnection } from './amqp.connection.js';
import { asError } from './amqp.errors.js';

/**
 * Opens a link to a target and closes it again: whether it is there, and whether this user may send to it. In a session of its own,
 * because RabbitMQ ends the session, with everything in it, where it refuses a link. Rejects with a `BrokerError`, or with another error
 * where it does not answer within `timeout` milliseconds.
 */
export async function probeTarget(connection: AmqpConnection, address: string, timeout: number): Promise<void> {
  const session = connection.openSession();
  let timer: NodeJS.Timeout | undefined;
  let lost = (_cause: Error): void => undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      lost = reject;
      connection.onLost(lost);
      const late = (): void => reject(new Error(`the broker did not answer for ${address} within ${timeout} ms`));
      timer = setTimeout(late, timeout);
      session.on('session_error', () => undefined);
      session.on('session_close', () => {
        const { error } = session;
        reject(asError(error, `the broker gave no link to ${address}`));
      });
      const sender = session.open_sender({ target: { address } });
      sender.on('sender_error', () => undefined);
      sender.on('sender_close', () => {
        const { error } = sender;
        reject(asError(error, `the broker gave no link to ${address}`));
      });
      sender.once('sender_flow', () => resolve());
    });
  } finally {
    clearTimeout(timer);
    connection.offLost(lost);
    // Its end takes the link with it.
    if (!connection.isLost && session.is_open()) session.close();
  }
}
