import { type ChannelModel, connect } from 'amqplib';
import { startOwnRabbitMq, type Unavailable, writeQueuesDown } from '../../brokers/brokers.js';
import { CHANNELS } from '../channels.js';
import { expectationsOf, partOf, recordOf, startDatabase, type System } from './system.js';

/** Gets a copy of each message, and is read when all is over. */
const witness = (channel: string): string => `witness.${channel}`;

/** Events by RabbitMQ, outbox and inbox in PostgreSQL. */
export async function rabbitmqSystem(): Promise<System | Unavailable> {
  const [database, rabbit] = await Promise.all([startDatabase(), startOwnRabbitMq()]);
  const missing = [database, rabbit].find((part): part is Unavailable => !part.available);
  if (!database.available || !rabbit.available) {
    for (const part of [database, rabbit]) if (part.available) await part.close();
    return missing as Unavailable;
  }
  const { url } = rabbit.access;
  return {
    available: true,
    name: 'rabbitmq',
    database,
    broker: url,
    parts: [partOf('postgres', database), partOf('rabbitmq', rabbit)],
    expectations: expectationsOf('outbox'),
    async prepare() {
      await withConnection(url, async (connection) => {
        const channel = await connection.createChannel();
        for (const name of CHANNELS) {
          await channel.assertQueue(witness(name), { durable: true, arguments: { 'x-queue-type': 'quorum' } });
          await channel.bindQueue(witness(name), name, '#');
        }
      });
      await writeQueuesDown(rabbit);
    },
    published: (found) =>
      withConnection(url, async (connection) => {
        for (const name of CHANNELS)
          await drain(connection, witness(name), (body, id) => found(recordOf(name, body, id)));
      }),
    async close() {
      await Promise.all([database.close(), rabbit.close()]);
    },
  };
}

/** Reads a queue that nobody fills any more; it is empty afterwards. */
async function drain(
  connection: ChannelModel,
  queue: string,
  found: (body: string, id: string) => void,
): Promise<void> {
  const channel = await connection.createChannel();
  let { messageCount: left } = await channel.checkQueue(queue);
  await channel.prefetch(500);
  await new Promise<void>((resolve, reject) => {
    if (left === 0) return resolve();
    channel.on('error', reject);
    const consume = channel.consume(queue, (message) => {
      if (message === null) return reject(new Error(`The queue ${queue} is gone.`));
      found(String(message.content), String(message.properties.messageId));
      channel.ack(message);
      if (--left === 0) resolve();
    });
    consume.catch(reject);
  });
  await channel.close();
}

async function withConnection(url: string, work: (connection: ChannelModel) => Promise<void>): Promise<void> {
  const connection = await connect(url);
  connection.on('error', () => undefined);
  try {
    await work(connection);
  } finally {
    await connection.close().catch(() => undefined);
  }
}
