import type { AmqpConnection } from './amqp.connection.js';

/**
 * As `work` ends, but within `timeout` milliseconds, and not beyond the connection: what waits for an answer of the management would wait for
 * ever. @param what for people
 */
export function answeredIn<T>(timeout: number, connection: AmqpConnection, what: string, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = (): void => end(new Error(`the management did not answer within ${timeout} ms: ${what}`));
    const timer = setTimeout(late, timeout);
    const end = (error: Error): void => {
      clearTimeout(timer);
      connection.offLost(end);
      reject(error);
    };
    connection.onLost(end);
    work.then((value) => {
      clearTimeout(timer);
      connection.offLost(end);
      resolve(value);
    }, end);
  });
}
