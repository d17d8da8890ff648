import { randomBytes } from 'node:crypto';
import { Event } from 'nestjs-eventing';
import { Client, Pool } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type PostgresBroker, startOwnPostgres } from '../../../../test/brokers/brokers.js';
import { fromPg, pgTransactions } from '../adapters/pg.adapter.js';
import { serverDatabase } from '../sql/server.recipe.js';
import { QuestionedDatabase } from './commit.notifier.fixture.js';
import { Shop, type ShopOptions, until } from './outbox.fixture.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'order' })
class OrderPlaced {
  order!: string;
}

/** So long that a test which waits for it has failed. */
const NEVER = { pollInterval: 600_000, lease: 3_600_000 };

describe('how relays of other processes learn of what was stored on a server', () => {
  let server: PostgresBroker | undefined;
  let pool: Pool;
  let schema: string;
  const shops: Shop[] = [];
  const clients: Client[] = [];
  beforeAll(async () => {
    const had = await startOwnPostgres();
    if (!had.available) return;
    server = had;
    pool = new Pool({ connectionString: had.access.connectionString, max: 8 });
    pool.on('error', () => undefined);
  }, 300_000);
  beforeEach(({ skip }) => {
    skip(server === undefined, 'no PostgreSQL');
    schema = `wake_${randomBytes(4).toString('hex')}`;
  });
  afterEach(async () => {
    await Promise.all(shops.splice(0).map((shop) => shop.stop()));
    await Promise.all(clients.splice(0).map((client) => client.end()));
  });
  afterAll(async () => {
    await pool?.end();
    await server?.close();
  });

  const url = (): string => server?.access.connectionString ?? '';

  async function open(options: ShopOptions = {}): Promise<{ shop: Shop; database: QuestionedDatabase }> {
    const inner = await serverDatabase({ connectionString: url(), connectionTimeout: 60_000 })();
    const database = new QuestionedDatabase(inner, schema);
    const shop = new Shop(database, schema, { ...options, outbox: { ...NEVER, ...options.outbox } });
    shops.push(shop);
    await shop.start();
    return { shop, database };
  }

  const send = (shop: Shop, id: string): Promise<unknown> =>
    shop.runtime.events.sendEvent(OrderPlaced, { order: 'k' }, { id });

  type Place = (shop: Shop, id: string) => Promise<void>;
  const place: Place = (shop, id) =>
    pgTransactions(pool)((_client, adapter) => shop.outbox.within(adapter, async () => void (await send(shop, id))));

  /** In a transaction of the user's own, whose commit nobody tells. */
  const placeByHand: Place = async (shop, id) => {
    const client = await pool.connect();
    await client.query('BEGIN');
    await shop.outbox.within(fromPg(client), () => send(shop, id));
    await client.query('COMMIT');
    client.release();
  };

  /** A process that stores, and another one that relays and listens. */
  async function pair(): Promise<{ sender: Shop; database: QuestionedDatabase; relay: Shop }> {
    const { shop: sender, database } = await open({ outbox: { relay: false } });
    const { shop: relay } = await open({ instance: 'relay' });
    await until('it is the relay', async () => {
      const { rowCount } = await pool.query(`SELECT FROM "${schema}".outbox_relays`);
      return rowCount === 1;
    });
    await place(sender, 'first');
    await until('the relay listens', async () => {
      await pool.query('SELECT pg_notify($1, $2)', [`${schema}_outbox`, 'shop']);
      return relay.ids.length === 1;
    });
    // The relay was woken above, perhaps before it was told of what was stored.
    await until('that was told, too', () => database.questions.length > 0);
    return { sender, database, relay };
  }

  it.each([
    ['that is told', place],
    ['that is asked for', placeByHand],
  ])('are woken by each commit %s, and need not look by themselves', async (_how, store) => {
    const { sender, relay } = await pair();
    for (let index = 0; index < 20; index++) {
      await store(sender, `e${index}`);
      await until(`e${index} is published`, () => relay.ids.includes(`e${index}`));
    }
    expect(relay.ids).toHaveLength(21);
  });

  it('are told of a transaction that stays open for a while after it has sent', async () => {
    const { sender, database, relay } = await pair();
    const client = await pool.connect();
    await client.query('BEGIN');
    await sender.outbox.within(fromPg(client), () => send(sender, 'late'));
    const { rows } = await client.query<{ xid: string }>('SELECT pg_current_xact_id()::text AS xid');
    const xid = rows[0]?.xid ?? '';
    const begin = performance.now();
    const found = (): number => database.questions.filter(({ open: still }) => still.includes(xid)).length;
    await until('it is found open', () => found() > 3 && performance.now() - begin > 200);
    expect(relay.ids).toEqual(['first']);
    await client.query('COMMIT');
    client.release();
    await until('it is published', () => relay.ids.includes('late'));
  });

  it('are not told of one that was rolled back, which is asked for no more', async () => {
    const { sender, database, relay } = await pair();
    const client = await pool.connect();
    await client.query('BEGIN');
    await sender.outbox.within(fromPg(client), () => send(sender, 'gone'));
    const { rows } = await client.query<{ xid: string }>('SELECT pg_current_xact_id()::text AS xid');
    const xid = rows[0]?.xid ?? '';
    const of = (): typeof database.questions => database.questions.filter(({ xids }) => xids.includes(xid));
    await until('it is found open', () => of().some(({ open: still }) => still.includes(xid)));
    await client.query('ROLLBACK');
    client.release();
    await until('its end is known', () => of().at(-1)?.open.includes(xid) === false);
    const last = database.questions.length;
    await place(sender, 'next');
    await until('the next is published', () => relay.ids.includes('next'));
    expect(database.questions.slice(last).flatMap(({ xids }) => xids)).not.toContain(xid);
    expect(relay.ids).toEqual(['first', 'next']);
  });

  it('hear it from no transaction of the user, also where a savepoint and several statements stored it', async () => {
    const { sender, relay } = await pair();
    const listener = new Client(url());
    clients.push(listener);
    await listener.connect();
    const heard: (number | undefined)[] = [];
    listener.on('notification', ({ processId }) => heard.push(processId));
    await listener.query(`LISTEN "${schema}_outbox"`);
    const client = await pool.connect();
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    await client.query('BEGIN');
    await client.query('SAVEPOINT one');
    await sender.outbox.within(fromPg(client), async () => {
      await send(sender, 'a');
      await Promise.all(['b', 'c'].map((id) => send(sender, id)));
    });
    await client.query('RELEASE SAVEPOINT one');
    await client.query('COMMIT');
    await until('it is published', () => relay.ids.length === 4);
    await until('it is heard', () => heard.length > 0);
    client.release();
    expect(heard).not.toContain(rows[0]?.pid);
  });

  it.each([
    ['told', place, true],
    ['asked for', placeByHand, false],
  ])('learn of many commits that are %s by few statements, and of all that they stored', async (_how, store, told) => {
    const { sender, database, relay } = await pair();
    const before = database.questions.length;
    const begin = performance.now();
    await Promise.all(
      Array.from({ length: 8 }, async (_, lane) => {
        for (let index = 0; index < 50; index++) await store(sender, `${lane}-${index}`);
      }),
    );
    await until('all are published', () => new Set(relay.ids).size === 401);
    const questions = database.questions.slice(before);
    expect(questions.length).toBeLessThanOrEqual((performance.now() - begin) / 5 + 1);
    expect(questions.length).toBeGreaterThan(0);
    expect(questions.every(({ anyway, xids }) => anyway === told && (xids.length === 0) === told)).toBe(true);
  });
});
