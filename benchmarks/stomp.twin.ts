import { randomUUID } from 'node:crypto';
import { createConnection, type Socket } from 'node:net';
import { Client } from '@stomp/stompjs';
import { TCPWrapper } from '@stomp/tcp-wrapper';
import { manage } from '../test/brokers/artemis/artemis-management.js';
import type { OrderPlaced } from './order.event.js';

export type StompSettings = Record<string, string>;

/** tcp-wrapper leaves Nagle's algorithm on. */
class QuickSocket extends TCPWrapper {
  protected override getSocket(port: number, host: string): Socket {
    return createConnection({ host, port, noDelay: true });
  }
}

/** stompjs as its documentation has it, connected. */
export async function clientOf(settings: StompSettings): Promise<Client> {
  const { host = '', stompPort = '', username = '', password = '' } = settings;
  const client = new Client({
    webSocketFactory: () => new QuickSocket(host, Number(stompPort)),
    connectHeaders: { host, login: username, passcode: password },
    reconnectDelay: 0,
    heartbeatIncoming: 5_000,
    heartbeatOutgoing: 5_000,
  });
  await new Promise<void>((resolve) => {
    client.onConnect = () => resolve();
    client.activate();
  });
  return client;
}

const tag = randomUUID().slice(0, 12);
let number = 0;

/** The headers of one message as we would write them. Names are escaped here: stompjs escapes values alone. */
export function headersOf(order: OrderPlaced): Record<string, string> {
  return {
    persistent: 'true',
    _AMQ_DUPL_ID: tag + ++number,
    'eventing-time': String(Date.now()),
    'destination-type': 'MULTICAST',
    JMSXGroupID: order.orderId,
    'cloudEvents\\cspecversion': '1.0',
    'cloudEvents\\cid': randomUUID(),
    'cloudEvents\\csource': '/bench',
    'cloudEvents\\ctype': 'orders.placed',
    'content-type': 'application/json',
  };
}

/** Messages for one receipt. */
const RECEIPT_EVERY = 128;

/** Publishes so many, with at most `open` of them unconfirmed: one receipt for each 128, as we do. */
export async function publish(
  client: Client,
  destination: string,
  events: number,
  open: number,
  order: (index: number) => OrderPlaced,
): Promise<void> {
  let [sent, confirmed] = [0, 0];
  await new Promise<void>((resolve) => {
    const go = (): void => {
      while (sent < events && sent - confirmed < open) {
        const event = order(sent++);
        const headers = headersOf(event);
        if (sent % RECEIPT_EVERY === 0 || sent === events) {
          const upTo = sent;
          const receipt = (headers['receipt'] = `${destination}-${number}`);
          client.watchForReceipt(receipt, () => {
            confirmed = upTo;
            if (confirmed === events) resolve();
            else go();
          });
        }
        client.publish({ destination, headers, binaryBody: Buffer.from(JSON.stringify(event)) });
      }
    };
    go();
  });
}

function call(settings: StompSettings, operation: string, ...args: readonly unknown[]): Promise<unknown> {
  const { host = '', amqpPort = '', username = '', password = '' } = settings;
  return manage({ host, port: Number(amqpPort), username, password }, 'broker', operation, args);
}

/** A durable queue of an address, empty. */
export async function createQueue(settings: StompSettings, address: string, name: string): Promise<void> {
  await deleteQueue(settings, name);
  const plan = { name, address, 'routing-type': 'MULTICAST', durable: true, 'group-buckets': 0, 'auto-delete': false };
  await call(settings, 'createQueue', JSON.stringify(plan), true);
}

/** Whoever consumes from it. */
export async function deleteQueue(settings: StompSettings, name: string): Promise<void> {
  await call(settings, 'destroyQueue', name, true).catch(() => undefined);
}
