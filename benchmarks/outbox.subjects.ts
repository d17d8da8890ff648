import 'reflect-metadata';
import { EventingRuntime, memory, type ProviderFactory, resolveOptions } from 'nestjs-eventing';
import { kafka } from 'nestjs-eventing/kafka';
import {
  Outbox,
  type OutboxOptions,
  pgTransactions,
  PostgresOutboxModule,
  serverDatabase,
} from 'nestjs-eventing/postgres';
import type { Pool, PoolClient } from 'pg';
import { fromFirstToLast } from './first.to.last.js';
import { createTopic } from './kafka.twin.js';
import { sample } from './measure.js';
import { orderNumber } from './order.event.js';
import {
  checkStored,
  counted,
  empty,
  fillOutbox,
  poolOn,
  relayByHand,
  runner,
  storeEvent,
  storeOrder,
} from './outbox.twin.js';
import { sendAll } from './postgres.subjects.js';
import { quiet } from './quiet.logger.js';
import type { Subject } from './subject.js';
import { Tally } from './tally.js';

type Settings = Record<string, string>;

/** Of one look of the relay: its default. */
const BATCH = 500;

function runtimeOf(provider: ProviderFactory): EventingRuntime {
  const options = resolveOptions({ service: 'bench', provider }, quiet);
  return new EventingRuntime(options, () => ({ listeners: [], pipelines: [], problems: [] }));
}

async function withOutbox(url: string, runtime: EventingRuntime, options: Partial<OutboxOptions>): Promise<Outbox> {
  const outbox = new Outbox({ database: serverDatabase({ connectionString: url }), ...options });
  await new PostgresOutboxModule(outbox, runtime).onModuleInit();
  await runtime.start();
  return outbox;
}

interface Round {
  readonly events: number;
  /** Transactions open at one time. */
  readonly open: number;
}
const roundOf = ({ events, open }: Settings): Round => ({ events: Number(events), open: Number(open) });

/** An order and its event in one transaction. Relays are elsewhere. */
export function transactionEventing(settings: Settings): Subject {
  const { url = '', wake, prepared } = settings;
  const { events, open } = roundOf(settings);
  const prepare = prepared === 'yes';
  const run = runner(prepare);
  const runtime = runtimeOf(memory());
  let pool: Pool;
  let outbox: Outbox;
  return {
    async prepare() {
      pool = await poolOn(url, open);
      outbox = await withOutbox(url, runtime, { relay: false, ...(wake === 'poll' ? { wake } : {}) });
    },
    async round() {
      await empty(pool);
      const transaction = pgTransactions<PoolClient>(pool, { prepare });
      const place = (index: number): Promise<unknown> =>
        transaction((client, adapter) =>
          outbox.within(adapter, async () => {
            const order = orderNumber(index);
            await storeOrder(run, client, order);
            await runtime.events.sendEvent(order);
          }),
        );
      const taken = await sample(events, () => sendAll(events, open, place));
      await checkStored(pool, 'eventing.outbox', events);
      return taken;
    },
    async close() {
      await runtime.stop();
      await pool.end();
    },
  };
}

/** The same with two INSERTs. */
export function transactionByHand(settings: Settings): Subject {
  const { url = '', prepared } = settings;
  const { events, open } = roundOf(settings);
  const run = runner(prepared === 'yes');
  let pool: Pool;
  return {
    async prepare() {
      pool = await poolOn(url, open);
    },
    async round() {
      await empty(pool);
      const transaction = pgTransactions<PoolClient>(pool);
      const place = (index: number): Promise<unknown> =>
        transaction(async (client) => {
          const order = orderNumber(index);
          await storeOrder(run, client, order);
          await storeEvent(run, client, order);
        });
      const taken = await sample(events, () => sendAll(events, open, place));
      await checkStored(pool, 'outbox_by_hand', events);
      return taken;
    },
    close: () => pool.end(),
  };
}

const providerOf = ({ brokers }: Settings): ProviderFactory =>
  brokers === undefined ? memory() : kafka({ brokers: brokers.split(',') });

/** By the side that is prepared first: kafkajs complains of what is there. */
async function makeTopic({ brokers }: Settings): Promise<void> {
  if (brokers !== undefined) await createTopic(brokers, 'orders', 6);
}

/** A full outbox, until everything is published. */
export function relayEventing(settings: Settings): Subject {
  const { url = '' } = settings;
  const { events } = roundOf(settings);
  let pool: Pool;
  return {
    async prepare() {
      pool = await poolOn(url, 2);
    },
    async round() {
      await fillOutbox(pool, events);
      const tally = new Tally();
      tally.start();
      const runtime = runtimeOf(counted(providerOf(settings), tally));
      const taken = await fromFirstToLast(tally, events, () => withOutbox(url, runtime, {}));
      await runtime.stop();
      tally.check(events);
      return taken;
    },
    close: () => pool.end(),
  };
}

/** A loop on the same table that publishes by the same provider: what is compared is the relay alone. */
export function relayLoop(settings: Settings): Subject {
  const { url = '' } = settings;
  const { events } = roundOf(settings);
  let pool: Pool;
  return {
    async prepare() {
      pool = await poolOn(url, 2);
      await makeTopic(settings);
    },
    async round() {
      await fillOutbox(pool, events);
      const tally = new Tally();
      tally.start();
      const runtime = runtimeOf(counted(providerOf(settings), tally));
      await runtime.start();
      let loop: Promise<void> | undefined;
      const taken = await fromFirstToLast(tally, events, async () => {
        loop = relayByHand(pool, BATCH, (messages) => runtime.publisher.publish('default', messages));
      });
      await loop;
      await runtime.stop();
      tally.check(events);
      return taken;
    },
    close: () => pool.end(),
  };
}
