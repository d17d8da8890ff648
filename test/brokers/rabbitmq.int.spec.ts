import { type Channel, connect } from 'amqplib';
import rhea from 'rhea';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { acquireRabbitMq, NotOwnedError, type RabbitMqBroker, startOwnRabbitMq } from './brokers.js';
import { environment, stompConnect } from './brokers.fixture.js';

const LIMITED = { username: 'reader', password: 'reader-password', read: '^orders$' };

describe('a RabbitMQ of a test alone', () => {
  let rabbit: RabbitMqBroker | undefined;

  beforeAll(async () => {
    const had = await startOwnRabbitMq({ tls: true, users: [LIMITED] });
    if (had.available) rabbit = had;
  });
  beforeEach(({ skip }) => skip(!rabbit, 'no RabbitMQ'));
  afterAll(() => rabbit?.close());

  it('takes a message and gives it back', async () => {
    await publish(own().access.url, 'orders', 'placed');
    expect(await take(own().access.url, 'orders')).toBe('placed');
  });

  it.each(['quorum', 'stream'])('has the queues of the type %s', async (type) => {
    await channelTo(own().access.url, async (channel) => {
      await channel.assertQueue(`of-type-${type}`, { durable: true, arguments: { 'x-queue-type': type } });
    });
    expect(await own().control('list_queues', 'name', 'type')).toMatch(new RegExp(`of-type-${type}\\s.*${type}`));
  });

  it('comes back after a crash, on the same port and with its messages', async () => {
    const { url } = own().access;
    await publish(url, 'orders', 'kept');
    await own().kill();
    await expect(publish(url, 'orders', 'lost')).rejects.toThrow('ECONNREFUSED');
    await own().restart();
    expect(own().access.url).toBe(url);
    expect(await take(url, 'orders')).toBe('kept');
  });

  it('comes back after a clean stop with its messages', async () => {
    await publish(own().access.url, 'orders', 'kept');
    await own().stop();
    await own().restart();
    expect(await take(own().access.url, 'orders')).toBe('kept');
  });

  it('answers nobody while it is suspended', async () => {
    await own().suspend();
    const sent = publish(own().access.url, 'orders', 'late');
    const patience = new Promise((resolve) => setTimeout(resolve, 300, 'no answer'));
    expect(await Promise.race([sent, patience])).toBe('no answer');
    await own().resume();
    await sent;
    expect(await take(own().access.url, 'orders')).toBe('late');
  });

  it('is administered by its own tool', async () => {
    const connection = await connect(own().access.url);
    // Asked for by an operator: to amqplib no error.
    const closed = new Promise<Error>((resolve) => connection.once('close', resolve));
    await own().control('close_all_connections', 'for a test');
    expect((await closed).message).toContain('for a test');
  });

  it('lets in only who is entitled', async () => {
    const { host, port } = own().access;
    await expect(connect(`amqp://test-user:wrong@${host}:${port}`)).rejects.toThrow('ACCESS');
    const limited = `amqp://${LIMITED.username}:${LIMITED.password}@${host}:${port}`;
    await publish(own().access.url, 'orders', 'for all');
    await expect(channelTo(limited, (channel) => channel.assertQueue('theirs'))).rejects.toThrow('ACCESS_REFUSED');
    expect(await take(limited, 'orders', false)).toBe('for all');
  });

  it('speaks TLS with a certificate that clients can verify', async () => {
    const { tls } = own().access;
    const ca = [tls?.ca ?? ''];
    const connection = await connect(tls?.url ?? '', { ca });
    await connection.close();
    await expect(connect(tls?.url ?? '')).rejects.toThrow('self-signed certificate');
  });

  it('speaks STOMP', async () => {
    expect(await stompConnect(own().access)).toContain('server:RabbitMQ/');
  });

  it('speaks AMQP 1.0', async () => {
    const { host, port, username, password } = own().access;
    const connection = rhea.create_container().connect({ host, port, username, password, reconnect: false });
    await new Promise((resolve, reject) => {
      connection.once('connection_open', resolve);
      connection.once('disconnected', ({ error }) => reject(error ?? new Error('disconnected')));
    });
    expect(connection.properties).toMatchObject({ product: 'RabbitMQ', version: own().access.version });
    connection.close();
  });

  it('comes back without its queues when wiped', async () => {
    await own().wipe();
    expect(await own().control('list_queues', 'name')).not.toContain('orders');
    await publish(own().access.url, 'orders', 'placed');
  });

  it('is left alone where somebody else started it', async ({ onTestFinished }) => {
    const { url, stompPort, version } = own().access;
    onTestFinished(environment({ RABBITMQ_URL: url, RABBITMQ_STOMP_PORT: String(stompPort) }));
    const foreign = await acquireRabbitMq();
    if (!foreign.available) throw new Error(foreign.reason);
    expect(foreign).toMatchObject({ owned: false, access: { url, stompPort, version } });
    await expect(foreign.kill()).rejects.toThrow(NotOwnedError);
    await expect(foreign.control('stop')).rejects.toThrow(NotOwnedError);
    await foreign.close();
    await publish(url, 'orders', 'still there');
  });

  function own(): RabbitMqBroker {
    if (!rabbit) throw new Error('The test should have been skipped.');
    return rabbit;
  }
});

it('is shared by the run', async ({ skip }) => {
  const access = inject('rabbitmq');
  if (!access) {
    skip('no RabbitMQ');
    return;
  }
  const connection = await connect(access.url);
  expect(connection.connection.serverProperties.version).toBe(access.version);
  await connection.close();
});

async function channelTo<T>(url: string, use: (channel: Channel) => Promise<T>): Promise<T> {
  const connection = await connect(url);
  // What goes wrong also rejects the call that is waiting.
  connection.on('error', () => {});
  try {
    const channel = await connection.createChannel();
    channel.on('error', () => {});
    return await use(channel);
  } finally {
    await connection.close().catch(() => {});
  }
}

async function publish(url: string, queue: string, text: string): Promise<void> {
  const connection = await connect(url);
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue(queue, { durable: true });
  channel.sendToQueue(queue, Buffer.from(text), { persistent: true });
  await channel.waitForConfirms();
  await connection.close();
}

function take(url: string, queue: string, settle = true): Promise<string | undefined> {
  return channelTo(url, async (channel) => {
    const message = await channel.get(queue);
    if (message && settle) channel.ack(message);
    await channel.close();
    return message ? message.content.toString() : undefined;
  });
}
