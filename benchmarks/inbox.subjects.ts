import 'reflect-metadata';
import { type Envelope, EventingRuntime, type ListenerDefinition, memory, resolveOptions } from 'nestjs-eventing';
import { PostgresInbox, pgTransactions, serverDatabase } from 'nestjs-eventing/postgres';
import type { Pool, PoolClient } from 'pg';
import { sample } from './measure.js';
import { orderNumber, OrderPlaced } from './order.event.js';
import { empty, poolOn, runner, storeOrder } from './outbox.twin.js';
import { sendAll } from './postgres.subjects.js';
import { quiet } from './quiet.logger.js';
import type { Subject } from './subject.js';
import { Tally } from './tally.js';

type Settings = Record<string, string>;

/** Listeners at work at one time: the default. */
const CONCURRENCY = 16;
/** Events that were sent and are not handled yet. */
const OPEN = 200;
const BATCH = 100;
const LISTENER = 'bench.Bench';

const prepared = runner(true);

/** What its connections are asked to run, counted. */
class CountedPool {
  statements = 0;

  private constructor(readonly pool: Pool) {
    pool.on('connect', (client) => {
      const query = client.query.bind(client) as (...args: readonly unknown[]) => unknown;
      client.query = ((...args: readonly unknown[]) => {
        this.statements++;
        return query(...args);
      }) as typeof client.query;
    });
  }

  static async open(url: string): Promise<CountedPool> {
    return new CountedPool(await poolOn(url, CONCURRENCY));
  }
}

/** What a listener does with one event, or with several in one transaction. */
type Handle = (events: readonly OrderPlaced[], envelopes: readonly Envelope[]) => Promise<void>;

interface Side {
  readonly inbox?: PostgresInbox<PoolClient>;
  readonly handle: Handle;
}

/** The same listener in memory; what differs is how it comes to its transaction. */
function listening({ url = '', events = '', batch }: Settings, sideOf: (pool: Pool) => Side): Subject {
  const total = Number(events);
  let counted: CountedPool;
  let runtime: EventingRuntime;
  const tally = new Tally();
  const handled: (() => void)[] = [];
  return {
    async prepare() {
      counted = await CountedPool.open(url);
      const { inbox, handle } = sideOf(counted.pool);
      const settled: Handle = async (orders, envelopes) => {
        await handle(orders, envelopes);
        for (const { total: number } of orders) {
          tally.add(number);
          handled[number]?.();
        }
      };
      const listener = (definition: Pick<ListenerDefinition, 'events'>): ListenerDefinition => ({
        ...definition,
        label: 'Bench',
        options: {
          ...(inbox === undefined ? {} : { guarantee: 'exactly-once' }),
          ...(batch === 'yes' ? { batch: { size: BATCH } } : { concurrency: CONCURRENCY }),
        },
        invoke: (event, envelope) => settled([event as OrderPlaced], [envelope]),
        ...(batch === 'yes' ? { invokeBatch: (all, envelopes) => settled(all as OrderPlaced[], envelopes) } : {}),
      });
      const options = { service: 'bench', provider: memory(), ...(inbox === undefined ? {} : { inbox }) };
      runtime = new EventingRuntime(resolveOptions(options, quiet), (registry) => ({
        pipelines: [],
        problems: [],
        listeners: [listener({ events: [registry.describe(OrderPlaced)] })],
      }));
      await runtime.start();
    },
    async round() {
      await empty(counted.pool);
      tally.start();
      const before = counted.statements;
      const taken = await sample(total, () =>
        sendAll(total, OPEN, async (index) => {
          const done = new Promise<void>((resolve) => (handled[index] = resolve));
          await runtime.events.sendEvent(orderNumber(index));
          await done;
        }),
      );
      tally.check(total);
      return { ...taken, statements: counted.statements - before };
    },
    async close() {
      await runtime.stop();
      await counted.pool.end();
    },
  };
}

async function storeOrders(client: PoolClient, orders: readonly OrderPlaced[]): Promise<void> {
  const [only] = orders;
  if (orders.length === 1 && only !== undefined) {
    await storeOrder(prepared, client, only);
    return;
  }
  const values = [
    orders.map(({ orderId }) => orderId),
    orders.map(({ total }) => total),
    orders.map(({ customer }) => customer.name),
  ];
  await prepared(
    client,
    'INSERT INTO orders (id, total, customer) SELECT * FROM unnest($1::text[], $2::int[], $3::text[])',
    values,
  );
}

export function inboxEventing(settings: Settings): Subject {
  return listening(settings, (pool) => {
    const inbox = new PostgresInbox<PoolClient>({
      database: serverDatabase({ connectionString: settings['url'] ?? '' }),
      transactions: pgTransactions<PoolClient>(pool, { prepare: true }),
    });
    return { inbox, handle: (orders) => storeOrders(inbox.transaction(), orders) };
  });
}

/** A row of our table, by an INSERT that tells whether it is new. */
async function enterByHand(client: PoolClient, { source, id }: Envelope): Promise<boolean> {
  const entered = await prepared(
    client,
    `INSERT INTO eventing.inbox (listener, source, id, digest) VALUES ($1, $2, $3, '') ON CONFLICT DO NOTHING RETURNING 1`,
    [LISTENER, source, id],
  );
  return (entered as { readonly rows: readonly unknown[] }).rows.length > 0;
}

export const inboxByHand = (settings: Settings): Subject =>
  listening(settings, (pool) => ({
    handle: (orders, envelopes) =>
      pgTransactions<PoolClient>(pool)(async (client) => {
        for (const envelope of envelopes) if (!(await enterByHand(client, envelope))) return;
        await storeOrders(client, orders);
      }),
  }));

/** A transaction each, and nothing that knows what comes twice. */
export const withoutInbox = (settings: Settings): Subject =>
  listening(settings, (pool) => ({
    handle: (orders) => pgTransactions<PoolClient>(pool)((client) => storeOrders(client, orders)),
  }));
