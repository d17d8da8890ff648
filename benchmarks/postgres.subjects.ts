import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import { EventingRuntime, resolveOptions } from 'nestjs-eventing';
import { type Database, embedded, postgres, type PostgresFactory } from 'nestjs-eventing/postgres';
import { join } from 'node:path';
import { fromFirstToLast } from './first.to.last.js';
import { sample } from './measure.js';
import { orderNumber, OrderPlaced } from './order.event.js';
import { type BareDatabase, embeddedByHand, INSERTED, QueueByHand, serverByHand } from './postgres.twin.js';
import { quiet } from './quiet.logger.js';
import type { Subject } from './subject.js';
import { Tally } from './tally.js';

/** On the server of `url`, or embedded in `folder`. */
type Settings = Record<string, string>;

/** Sends open at one time. */
const OPEN = 1_000;

function storeOf({ url, folder = '' }: Settings): PostgresFactory {
  return url === undefined ? embedded({ dataDir: join(folder, 'ours') }) : postgres({ connectionString: url });
}

async function byHand({ url, folder = '' }: Settings): Promise<BareDatabase> {
  return url === undefined ? embeddedByHand(join(folder, 'twin')) : serverByHand(url);
}

export function runtimeOf(
  provider: PostgresFactory,
  service: string,
  invoke?: (event: OrderPlaced) => void,
): EventingRuntime {
  return new EventingRuntime(resolveOptions({ service, provider }, quiet), (registry) => ({
    pipelines: [],
    problems: [],
    listeners:
      invoke === undefined
        ? []
        : [
            {
              label: 'Bench',
              events: [registry.describe(OrderPlaced)],
              options: { from: 'earliest' },
              invoke: (event) => invoke(event as OrderPlaced),
            },
          ],
  }));
}

/** As each is stored, the next is sent. */
export async function sendAll(events: number, open: number, send: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const sender = async (): Promise<void> => {
    while (next < events) await send(next++);
  };
  await Promise.all(Array.from({ length: open }, sender));
}

/** An empty log, or one with so many events, settled. */
async function fillLog(store: PostgresFactory, events: number): Promise<void> {
  const runtime = runtimeOf(store, 'bench');
  await runtime.start();
  // The first one makes the tables.
  await runtime.events.sendEvent(orderNumber(0));
  const database = await store.database();
  await database.query('TRUNCATE eventing.events');
  await sendAll(events, OPEN, (index) => runtime.events.sendEvent(orderNumber(index)));
  await database.query('VACUUM ANALYZE eventing.events');
  await database.query('CHECKPOINT');
  await database.close();
  await runtime.stop();
}

/** 1000 `sendEvent` open at all times. */
export function publishEventing(settings: Settings): Subject {
  const events = Number(settings['events']);
  const store = storeOf(settings);
  const runtime = runtimeOf(store, 'bench');
  // Embedded it takes its time to be made, for which a send need not wait.
  let database: Database;
  return {
    async prepare() {
      database = await store.database();
      await runtime.start();
      await runtime.events.sendEvent(orderNumber(0));
    },
    async round() {
      await fillLog(store, 0);
      const taken = await sample(events, () =>
        sendAll(events, OPEN, (index) => runtime.events.sendEvent(orderNumber(index))),
      );
      const { rows } = await database.query<{ count: number }>('SELECT count(*)::int AS count FROM eventing.events');
      if (rows[0]?.count !== events) throw new Error(`${events} events were sent, ${rows[0]?.count} are stored`);
      return taken;
    },
    async close() {
      await runtime.stop();
      await database.close();
    },
  };
}

/** So many INSERTs of 100 rows open at all times. */
export function publishByHand(settings: Settings): Subject {
  const events = Number(settings['events']);
  const open = Number(settings['open']);
  let database: BareDatabase;
  let queue: QueueByHand;
  return {
    async prepare() {
      database = await byHand(settings);
      queue = new QueueByHand(database);
      await queue.create();
    },
    async round() {
      await queue.fill();
      return sample(events, () => sendAll(events / INSERTED, open, (index) => queue.insert(index * INSERTED)));
    },
    close: () => database.close(),
  };
}

/** A listener of a service of its own reads the log from its beginning. */
export function consumeEventing(settings: Settings): Subject {
  const events = Number(settings['events']);
  const store = storeOf(settings);
  // Embedded it would be closed and opened again between rounds.
  let database: Database;
  return {
    async prepare() {
      database = await store.database();
      await fillLog(store, events);
    },
    async round() {
      const tally = new Tally();
      tally.start();
      const runtime = runtimeOf(store, `bench-${randomUUID()}`, ({ total }) => tally.add(total));
      const taken = await fromFirstToLast(tally, events, () => runtime.start());
      await runtime.stop();
      tally.check(events);
      return taken;
    },
    close: () => database.close(),
  };
}

/** So many connections, each with a batch of its own. */
export function consumeByHand(settings: Settings): Subject {
  const events = Number(settings['events']);
  const connections = settings['url'] === undefined ? 1 : 2;
  let database: BareDatabase;
  let queue: QueueByHand;
  return {
    async prepare() {
      database = await byHand(settings);
      queue = new QueueByHand(database);
      await queue.create();
    },
    async round() {
      await queue.fill(events);
      const tally = new Tally();
      tally.start();
      const drains: Promise<void>[] = [];
      const taken = await fromFirstToLast(tally, events, async () => {
        for (let index = 0; index < connections; index++)
          drains.push(queue.drain(Number(settings['batch']), ({ total }) => tally.add(total)));
      });
      await Promise.all(drains);
      tally.check(events);
      return taken;
    },
    close: () => database.close(),
  };
}
