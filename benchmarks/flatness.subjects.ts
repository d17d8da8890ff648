import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import {
  type Envelope,
  EventingRuntime,
  type Inbox,
  type ListenerOptions,
  memory,
  type ProviderFactory,
  resolveOptions,
} from 'nestjs-eventing';
import {
  Outbox,
  type OutboxOptions,
  pgTransactions,
  postgres,
  PostgresInbox,
  PostgresOutboxModule,
  serverDatabase,
} from 'nestjs-eventing/postgres';
import { Pool, type PoolClient } from 'pg';
import { fromFirstToLast } from './first.to.last.js';
import { sample } from './measure.js';
import { orderNumber, OrderPlaced } from './order.event.js';
import { counted } from './outbox.twin.js';
import { sendAll } from './postgres.subjects.js';
import { quiet } from './quiet.logger.js';
import type { Subject } from './subject.js';
import { Tally } from './tally.js';

// Each is run twice, side by side: on a schema whose table has few rows, and on one whose table has many. Rounds add theirs to both.

type Settings = Record<string, string>;

const OPEN = 1_000;
/** Transactions open at one time. */
const TRANSACTIONS = 8;
/** Longer than any of the rows has been kept. */
const YEAR = 365 * 86_400_000;

interface Application {
  readonly provider: ProviderFactory;
  readonly service?: string;
  readonly inbox?: Inbox;
  readonly options?: ListenerOptions;
  readonly on?: (event: OrderPlaced, envelope: Envelope) => unknown;
}

function runtimeOf({ provider, service = 'bench', inbox, options = {}, on }: Application): EventingRuntime {
  const given = { service, provider, ...(inbox === undefined ? {} : { inbox }) };
  return new EventingRuntime(resolveOptions(given, quiet), (registry) => {
    const listener = {
      ...{ label: 'Bench', options, events: [registry.describe(OrderPlaced)] },
      invoke: (event: object, envelope: Envelope) => on?.(event as OrderPlaced, envelope),
    };
    return { pipelines: [], problems: [], listeners: on === undefined ? [] : [listener] };
  });
}

const storeOf = ({ url = '', schema = '' }: Settings): ProviderFactory => postgres({ connectionString: url, schema });

const send = (runtime: EventingRuntime, events: number): Promise<void> =>
  sendAll(events, OPEN, (index) => runtime.events.sendEvent(orderNumber(index)));

/** Stores at the end of the log. */
export function publish(settings: Settings): Subject {
  const events = Number(settings['events']);
  const runtime = runtimeOf({ provider: storeOf(settings) });
  return {
    async prepare() {
      await runtime.start();
      await runtime.events.sendEvent(orderNumber(0));
    },
    round: () => sample(events, () => send(runtime, events)),
    close: () => runtime.stop(),
  };
}

/** Reads what was stored at the end of the log since a subscription began there. */
export function consume(settings: Settings): Subject {
  const events = Number(settings['events']);
  const sender = runtimeOf({ provider: storeOf(settings) });
  return {
    prepare: () => sender.start(),
    async round() {
      const service = `bench-${randomUUID()}`;
      const tally = new Tally();
      tally.start();
      const listening = (): EventingRuntime =>
        runtimeOf({ provider: storeOf(settings), service, on: ({ total }) => tally.add(total) });
      const before = listening();
      await before.start();
      await before.stop();
      await send(sender, events);
      const runtime = listening();
      const taken = await fromFirstToLast(tally, events, () => runtime.start());
      await runtime.stop();
      tally.check(events);
      return taken;
    },
    close: () => sender.stop(),
  };
}

async function outboxOn(
  settings: Settings,
  runtime: EventingRuntime,
  options: Partial<OutboxOptions>,
): Promise<Outbox> {
  const { url = '', schema = '' } = settings;
  const outbox = new Outbox({ database: serverDatabase({ connectionString: url }), schema, ...options });
  await new PostgresOutboxModule(outbox, runtime).onModuleInit();
  await runtime.start();
  return outbox;
}

/** A transaction with an event and nothing else, and later its way to a broker in memory; what was sent is kept. */
function throughOutbox(settings: Settings, measured: 'store' | 'relay'): Subject {
  const events = Number(settings['events']);
  const pool = new Pool({ connectionString: settings['url'], max: TRANSACTIONS });
  return {
    async round() {
      const storing = runtimeOf({ provider: memory() });
      const outbox = await outboxOn(settings, storing, { relay: false, wake: 'poll' });
      const transaction = pgTransactions<PoolClient>(pool, { prepare: true });
      const store = (index: number): Promise<unknown> =>
        transaction((_client, adapter) =>
          outbox.within(adapter, () => storing.events.sendEvent(orderNumber(index), { id: `order-${index}` })),
        );
      const stored = await sample(events, () => sendAll(events, TRANSACTIONS, store));
      await storing.stop();
      const tally = new Tally();
      tally.start();
      const relaying = runtimeOf({ provider: counted(memory(), tally) });
      const relayed = await fromFirstToLast(tally, events, () => outboxOn(settings, relaying, { retention: YEAR }));
      await relaying.stop();
      tally.check(events);
      return measured === 'store' ? stored : relayed;
    },
    close: () => pool.end(),
  };
}

export const store = (settings: Settings): Subject => throughOutbox(settings, 'store');
export const relay = (settings: Settings): Subject => throughOutbox(settings, 'relay');

/** An exactly-once listener that does nothing: the inbox alone. */
export function once(settings: Settings): Subject {
  const { url = '', schema = '' } = settings;
  const events = Number(settings['events']);
  const pool = new Pool({ connectionString: url, max: TRANSACTIONS });
  const tally = new Tally();
  const handled: (() => void)[] = [];
  const runtime = runtimeOf({
    provider: memory(),
    inbox: new PostgresInbox<PoolClient>({
      ...{ database: serverDatabase({ connectionString: url }), schema, retention: YEAR },
      transactions: pgTransactions<PoolClient>(pool, { prepare: true }),
    }),
    options: { guarantee: 'exactly-once', concurrency: TRANSACTIONS },
    on: ({ total }) => {
      tally.add(total);
      handled[total]?.();
    },
  });
  return {
    prepare: () => runtime.start(),
    async round() {
      tally.start();
      const taken = await sample(events, () =>
        sendAll(events, 2 * TRANSACTIONS, async (index) => {
          const done = new Promise<void>((resolve) => (handled[index] = resolve));
          await runtime.events.sendEvent(orderNumber(index));
          await done;
        }),
      );
      tally.check(events);
      return taken;
    },
    async close() {
      await runtime.stop();
      await pool.end();
    },
  };
}
