import rhea, { type Connection, type ConnectionOptions } from 'rhea';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { acquireArtemis, type ArtemisBroker, NotOwnedError, startOwnArtemis } from './brokers.js';
import { environment, stompConnect } from './brokers.fixture.js';

/** The first run of all resolves the jars. */
const LIMITED = { username: 'reader', password: 'reader-password', permissions: { orders: ['consume'] } } as const;

describe('an Artemis of a test alone', () => {
  let artemis: ArtemisBroker | undefined;

  beforeAll(async () => {
    const had = await startOwnArtemis({ tls: true, users: [LIMITED] });
    if (had.available) artemis = had;
  });
  beforeEach(({ skip }) => skip(!artemis, 'no Artemis'));
  afterAll(() => artemis?.close());

  it('takes a message and gives it back', async () => {
    await send(client(), 'orders', 'placed');
    expect(await receive(client(), 'orders')).toBe('placed');
  });

  it('comes back after a crash, on the same port and with its messages', async () => {
    const { url } = own().access;
    await send(client(), 'orders', 'kept');
    await own().kill();
    await expect(send(client(), 'orders', 'lost')).rejects.toThrow('ECONNREFUSED');
    await own().restart();
    expect(own().access.url).toBe(url);
    expect(await receive(client(), 'orders')).toBe('kept');
  });

  it('comes back after a clean stop with its messages', async () => {
    await send(client(), 'orders', 'kept');
    await own().stop();
    await own().restart();
    expect(await receive(client(), 'orders')).toBe('kept');
  });

  it('answers nobody while it is suspended', async () => {
    await own().suspend();
    const sent = send(client(), 'orders', 'late');
    const patience = new Promise((resolve) => setTimeout(resolve, 300, 'no answer'));
    expect(await Promise.race([sent, patience])).toBe('no answer');
    await own().resume();
    await sent;
    expect(await receive(client(), 'orders')).toBe('late');
  });

  it('is managed as an administrator would', async () => {
    expect(await own().control('broker', 'getVersion')).toBe(own().access.version);
    await send(client(), 'orders', 'counted');
    expect(await own().control('queue.orders', 'countMessages')).toBe(1);
    expect(await receive(client(), 'orders')).toBe('counted');
    await expect(own().control('broker', 'makeTea')).rejects.toThrow('no operation makeTea');
  });

  it('closes the connections of clients', async () => {
    const connection = rhea.create_container().connect(client());
    await opened(connection);
    const gone = new Promise((resolve) => connection.once('disconnected', resolve));
    expect(await own().closeConnections()).toBe(1);
    await gone;
  });

  it('lets in only who is entitled', async () => {
    await expect(send({ ...client(), password: 'wrong' }, 'orders', 'x')).rejects.toThrow('Failed to authenticate');
    const { username, password } = LIMITED;
    const limited = { ...client(), username, password };
    await expect(send(limited, 'orders', 'x')).rejects.toThrow("does not have permission='SEND'");
    await expect(receive(limited, 'theirs')).rejects.toThrow('does not have permission');
    await send(client(), 'orders', 'for all');
    expect(await receive(limited, 'orders')).toBe('for all');
  });

  it('speaks TLS with a certificate that clients can verify', async () => {
    const { tls } = own().access;
    const secure: ConnectionOptions = { ...client(), port: tls?.port ?? 0, transport: 'tls', rejectUnauthorized: true };
    await send({ ...secure, ca: tls?.ca ?? '' }, 'orders', 'secret');
    expect(await receive(client(), 'orders')).toBe('secret');
    await expect(send(secure, 'orders', 'x')).rejects.toThrow('self-signed certificate');
  });

  it('speaks STOMP', async () => {
    expect(await stompConnect(own().access)).toContain('server:ActiveMQ-Artemis/');
  });

  it('comes back without its messages when wiped', async () => {
    await send(client(), 'orders', 'forgotten');
    await own().wipe();
    expect(await own().control('broker', 'getQueueNames')).not.toContain('orders');
  });

  it('is left alone where somebody else started it', async ({ onTestFinished }) => {
    const { url, stompPort, version } = own().access;
    onTestFinished(environment({ ARTEMIS_URL: url, ARTEMIS_STOMP_PORT: String(stompPort) }));
    const foreign = await acquireArtemis();
    if (!foreign.available) throw new Error(foreign.reason);
    expect(foreign).toMatchObject({ owned: false, access: { url, stompPort, version } });
    await expect(foreign.kill()).rejects.toThrow(NotOwnedError);
    await expect(foreign.closeConnections()).rejects.toThrow(NotOwnedError);
    await foreign.close();
    await send(client(), 'orders', 'still there');
  });

  function own(): ArtemisBroker {
    if (!artemis) throw new Error('The test should have been skipped.');
    return artemis;
  }

  function client(): ConnectionOptions {
    const { host, port, username, password } = own().access;
    return { host, port, username, password, reconnect: false };
  }
});

it('takes address settings over those of a fresh installation', async ({ skip, onTestFinished }) => {
  const artemis = await startOwnArtemis({ addressSettings: { '#': { 'max-delivery-attempts': '3' } } });
  if (!artemis.available) {
    skip(artemis.reason);
    return;
  }
  onTestFinished(() => artemis.close());
  const settings: unknown = JSON.parse(String(await artemis.control('broker', 'getAddressSettingsAsJSON', 'orders')));
  expect(settings).toMatchObject({ maxDeliveryAttempts: 3, deadLetterAddress: 'DLQ', expiryAddress: 'ExpiryQueue' });
});

it('is shared by the run', async ({ skip }) => {
  const access = inject('artemis');
  if (!access) {
    skip('no Artemis');
    return;
  }
  const { host, port, username, password, version } = access;
  const connection = rhea.create_container().connect({ host, port, username, password, reconnect: false });
  await opened(connection);
  expect(connection.properties).toMatchObject({ version });
  connection.close();
});

function opened(connection: Connection): Promise<void> {
  return new Promise((resolve, reject) => {
    connection.once('connection_open', () => resolve());
    failing(connection, reject);
  });
}

function failing(connection: Connection, reject: (error: Error) => void): void {
  const fail = (why: unknown) => {
    const { description, message } = (why ?? {}) as { description?: string; message?: string };
    reject(new Error(description ?? message ?? 'disconnected'));
  };
  connection.on('connection_error', ({ error }) => fail(error ?? connection.error));
  connection.on('sender_error', ({ sender }) => fail(sender?.error));
  connection.on('receiver_error', ({ receiver }) => fail(receiver?.error));
  connection.on('rejected', ({ delivery }) => fail(delivery?.remote_state?.['error']));
  connection.on('disconnected', ({ error }) => fail(error));
}

async function send(options: ConnectionOptions, address: string, body: string): Promise<void> {
  const connection = rhea.create_container().connect(options);
  try {
    await new Promise<void>((resolve, reject) => {
      failing(connection, reject);
      const sender = connection.open_sender({ target: { address, capabilities: ['queue'] } });
      sender.once('sendable', () => sender.send({ durable: true, body }));
      sender.once('accepted', () => resolve());
    });
  } finally {
    connection.close();
  }
}

async function receive(options: ConnectionOptions, address: string): Promise<unknown> {
  const connection = rhea.create_container().connect(options);
  try {
    return await new Promise<unknown>((resolve, reject) => {
      failing(connection, reject);
      const receiver = connection.open_receiver({ source: { address, capabilities: ['queue'] }, credit_window: 1 });
      receiver.once('message', ({ message }) => resolve(message?.body));
    });
  } finally {
    // The acceptance leaves when the handler has returned, and before this.
    connection.close();
  }
}
