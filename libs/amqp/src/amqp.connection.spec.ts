import type { AddressInfo, Server } from 'node:net';
import rhea, { type Session } from 'rhea';
import { afterEach, expect, it } from 'vitest';
import { AmqpConnection } from './amqp.connection.js';
import { resolveAmqpOptions } from './amqp.options.js';

// Artemis closes no single session when asked to: what a broker may do is done here by rhea's own server.

let server: Server | undefined;
afterEach(() => void server?.close());

async function opened(onSession: (session: Session) => void): Promise<AmqpConnection> {
  const container = rhea.create_container();
  container.on('session_open', ({ session }) => {
    if (session !== undefined) onSession(session);
  });
  for (const event of ['disconnected', 'error', 'connection_error']) container.on(event, () => undefined);
  const listening = container.listen({ port: 0, host: '127.0.0.1' });
  server = listening;
  await new Promise<void>((resolve) => listening.once('listening', () => resolve()));
  const { port } = listening.address() as AddressInfo;
  return AmqpConnection.open(resolveAmqpOptions({ host: '127.0.0.1', port, idleTimeout: 600 }), 'test');
}

it('ends when the broker closes a session of it: rhea would send into that for ever', async () => {
  const connection = await opened((session) =>
    session.close({ condition: 'amqp:internal-error', description: 'no more of it' }),
  );
  const lost = new Promise<Error>((resolve) => connection.onLost(resolve));
  connection.openSession();
  expect((await lost).message).toBe('no more of it');
  expect(connection.isLost).toBe(true);
  // Told at once to who comes later.
  expect(await new Promise<Error>((resolve) => connection.onLost(resolve))).toBe(await lost);
});

it('lives as long as the broker gives a sign of life, and ends with a goodbye', async () => {
  const connection = await opened(() => undefined);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  expect(connection.isLost).toBe(false);
  await connection.close();
  expect(connection.isLost).toBe(true);
});
