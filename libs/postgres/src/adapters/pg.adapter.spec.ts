import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { Pool } from 'pg';
import { afterEach, beforeEach, expect, it, onTestFinished } from 'vitest';
import { pgTransactions } from './pg.adapter.js';

const message = (kind: string, body: string): Buffer => {
  const length = Buffer.alloc(4);
  length.writeInt32BE(Buffer.byteLength(body) + 4);
  return Buffer.concat([Buffer.from(kind), length, Buffer.from(body)]);
};
const READY = [message('R', '\0\0\0\0'), message('Z', 'I')];
const GONE = message('E', 'SFATAL\0C57P01\0Mterminating connection\0\0');

let server: Server;
beforeEach(async () => {
  // A server that is killed just when a client has connected: both are in one packet.
  server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end(Buffer.concat([...READY, GONE])));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => server.close());

it('survives a connection that breaks before it is lent', async () => {
  const { port } = server.address() as AddressInfo;
  const pool = new Pool({ host: '127.0.0.1', port, user: 'nobody', database: 'none' });
  onTestFinished(() => pool.end());
  pool.on('error', () => undefined);
  const unheard: unknown[] = [];
  const hear = (error: unknown): void => void unheard.push(error);
  process.on('uncaughtException', hear);
  onTestFinished(() => void process.off('uncaughtException', hear));
  await expect(pgTransactions(pool)(() => Promise.resolve())).rejects.toThrow(/connection|terminat/i);
  expect(unheard).toEqual([]);
});

it('listens to a pool once, however often it is asked for transactions', async () => {
  const pool = new Pool({ host: '127.0.0.1', database: 'none' });
  onTestFinished(() => pool.end());
  const before = pool.listenerCount('connect');
  for (let time = 0; time < 20; time++) pgTransactions(pool);
  expect(pool.listenerCount('connect') - before).toBe(1);
});
