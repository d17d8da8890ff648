import { randomUUID } from 'node:crypto';
import rhea, { type Connection, type Delivery, type Message, type Sender } from 'rhea';
import { orderNumber, type OrderPlaced } from './order.event.js';

/** Nagle off: with it, latencies are those of TCP. rhea's types do not know it. */
const UNDELAYED = { tcp_no_delay: true };

export type Settings = Record<string, string>;

export async function connectByHand({ host, port, username, password }: Settings): Promise<Connection> {
  const options = { host: host ?? '', port: Number(port), username: username ?? '', password: password ?? '' };
  const connection = rhea.create_container().connect({ ...options, ...UNDELAYED, reconnect: false });
  connection.on('disconnected', () => undefined);
  await new Promise<void>((resolve) => connection.once('connection_open', () => resolve()));
  return connection;
}

export function closed(connection: Connection): Promise<void> {
  return new Promise((resolve) => {
    connection.once('connection_close', () => resolve());
    connection.close();
  });
}

/** One message as we would write it: the same headers and properties, the same bytes. */
export function messageOf(order: OrderPlaced): Message {
  const id = randomUUID();
  return {
    durable: true,
    message_id: id,
    to: 'orders',
    content_type: 'application/json',
    creation_time: Date.now() as never,
    group_id: order.orderId,
    application_properties: {
      'cloudEvents:specversion': '1.0',
      'cloudEvents:id': id,
      'cloudEvents:source': '/bench',
      'cloudEvents:type': 'orders.placed',
    },
    body: rhea.message.data_section(Buffer.from(JSON.stringify(order))) as never,
  };
}

/** A sender, and a promise for each message it sends. */
export async function senderTo(connection: Connection, address: string) {
  const sender: Sender = connection.open_sender({ target: { address, capabilities: ['topic'] } });
  const answers = new Map<Delivery, () => void>();
  let waiting: (() => void)[] = [];
  sender.on('accepted', ({ delivery }) => {
    if (delivery === undefined) return;
    answers.get(delivery)?.();
    answers.delete(delivery);
  });
  sender.on('sendable', () => {
    const all = waiting;
    waiting = [];
    for (const fn of all) fn();
  });
  await new Promise<void>((resolve) => sender.once('sendable', () => resolve()));
  return async (order: OrderPlaced): Promise<void> => {
    while (!sender.sendable()) await new Promise<void>((resolve) => waiting.push(resolve));
    await new Promise<void>((resolve) => answers.set(sender.send(messageOf(order)), resolve));
  };
}

/** Asks the broker's management. */
export async function manage(connection: Connection, operation: string, ...args: readonly unknown[]): Promise<void> {
  const replyTo = await new Promise<string>((resolve) => {
    const receiver = connection.open_receiver({ source: { dynamic: true } as never });
    receiver.once('receiver_open', () => resolve(receiver.source.address));
    receiver.on('message', () => answered());
  });
  let answered: () => void = () => undefined;
  const sender = connection.open_sender('activemq.management');
  await new Promise<void>((resolve) => {
    answered = resolve;
    sender.once('sendable', () => {
      sender.send({
        reply_to: replyTo,
        application_properties: { _AMQ_ResourceName: 'broker', _AMQ_OperationName: operation },
        body: JSON.stringify(args),
      });
    });
  });
}

/** A queue as ours of an ordered listener is; what is in it is dropped. */
export async function freshQueue(settings: Settings, address: string, name: string): Promise<void> {
  const connection = await connectByHand(settings);
  await manage(connection, 'destroyQueue', name, true, false);
  const queue = { name, address, 'routing-type': 'MULTICAST', durable: true, exclusive: true, 'auto-delete': false };
  await manage(connection, 'createQueue', JSON.stringify({ ...queue, 'group-buckets': 0 }), true);
  await closed(connection);
}

export async function dropQueue(settings: Settings, name: string): Promise<void> {
  const connection = await connectByHand(settings);
  await manage(connection, 'destroyQueue', name, true, false);
  await closed(connection);
}

/** Fills all queues of an address with events numbered from 0. */
export async function prefill(settings: Settings, address: string, events: number): Promise<void> {
  const connection = await connectByHand(settings);
  const send = await senderTo(connection, address);
  await inOrder(events, 1_000, (index) => send(orderNumber(index)));
  await closed(connection);
}

/** So many open at all times: as each is answered, the next is made. */
export async function inOrder(events: number, open: number, send: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const sender = async (): Promise<void> => {
    while (next < events) await send(next++);
  };
  await Promise.all(Array.from({ length: open }, sender));
}
