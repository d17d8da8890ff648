import { connect } from 'node:net';

/**
 * Opens a connection, says something, and gives what `answer` makes of the bytes received: undefined asks for more of
 * them. Rejects if the broker refuses, says nothing, or hangs up.
 */
export function askOverTcp<T>(
  { host, port, say }: { readonly host: string; readonly port: number; readonly say: Buffer },
  answer: (received: Buffer) => T | undefined,
  timeout = 2_000,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const fail = (why: string) => reject(new Error(`${host}:${port} ${why}`));
    let received = Buffer.alloc(0);
    socket.setTimeout(timeout);
    socket.on('connect', () => socket.write(say));
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      try {
        const result = answer(received);
        if (result === undefined) return;
        resolve(result);
      } catch (error) {
        fail(error instanceof Error ? error.message : String(error));
      }
      socket.destroy();
    });
    socket.on('timeout', () => socket.destroy());
    socket.on('error', (error) => fail(`refused: ${error.message}`));
    // Without effect after an answer.
    socket.on('close', () => fail('gave no answer'));
  });
}
