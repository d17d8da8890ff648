import { Event } from 'nestjs-eventing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { databaseTransactions, fromPg } from '../adapters/pg.adapter.js';
import type { TransactionAdapter } from '../adapters/transaction.adapter.js';
import { QuestionedDatabase } from './commit.notifier.fixture.js';
import { MemoryDatabase, Shop, type ShopOptions, until } from './outbox.fixture.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'order' })
class OrderPlaced {
  order!: string;
}

/** So long that a test which waits for it has failed. */
const NEVER = { pollInterval: 600_000, lease: 3_600_000 };

describe('how relays learn of what was stored', () => {
  let memory: MemoryDatabase;
  let schema: string;
  let tests = 0;
  const shops: Shop[] = [];
  beforeAll(async () => {
    memory = await MemoryDatabase.open();
  }, 120_000);
  beforeEach(() => {
    schema = `wake_${++tests}`;
  });
  afterEach(() => Promise.all(shops.splice(0).map((shop) => shop.stop())));
  afterAll(() => memory.end());

  async function open(options: ShopOptions = {}): Promise<{ shop: Shop; database: QuestionedDatabase }> {
    const database = new QuestionedDatabase(memory, schema);
    const shop = new Shop(database, schema, { ...options, outbox: { ...NEVER, ...options.outbox } });
    shops.push(shop);
    await shop.start();
    return { shop, database };
  }

  function place(shop: Shop, ids: readonly string[], texts: string[] = []): Promise<void> {
    return memory.transaction((sql) => {
      const adapter = fromPg(sql);
      const recording: TransactionAdapter = (text, values) => {
        texts.push(text);
        return adapter(text, values);
      };
      return shop.outbox.within(recording, async () => {
        await Promise.all(ids.map((id) => shop.runtime.events.sendEvent(OrderPlaced, { order: 'k' }, { id })));
      });
    });
  }

  it('is told by the process that stored it, and not by the transaction', async () => {
    const { shop: sender } = await open({ outbox: { relay: false } });
    const { shop: relay } = await open({ instance: 'relay' });
    const texts: string[] = [];
    const ids: string[] = [];
    // Whichever of them comes while the relay looks all the same: most come while it sleeps.
    for (let index = 0; index < 10; index++) {
      const together = index % 2 === 0 ? [`e${index}`] : [`e${index}`, `f${index}`];
      ids.push(...together);
      await place(sender, together, texts);
      await until('it is published', () => relay.ids.length === ids.length);
    }
    expect(relay.ids).toEqual(ids);
    expect(texts).toHaveLength(10);
    expect(texts.filter((text) => /notify/i.test(text))).toEqual([]);
  });

  it('is not told where relays are to look by themselves, and the id of no transaction is asked for', async () => {
    const { shop, database } = await open({ outbox: { wake: 'poll', pollInterval: 20 } });
    const texts: string[] = [];
    await place(shop, ['1'], texts);
    await place(shop, ['2', '3'], texts);
    await shop.empty();
    expect(texts.filter((text) => /returning/i.test(text))).toEqual([]);
    expect(database.questions).toEqual([]);
  });

  it('asks a transaction that tells of its commit for nothing', async () => {
    const { shop, database } = await open();
    const texts: string[] = [];
    await databaseTransactions(memory)((_sql, adapter) => {
      const recording: TransactionAdapter = Object.assign(
        (text: string, values: readonly unknown[]) => {
          texts.push(text);
          return adapter(text, values);
        },
        { onCommit: adapter.onCommit },
      );
      return shop.outbox.within(recording, () => shop.runtime.events.sendEvent(OrderPlaced, { order: 'k' }));
    });
    await shop.empty();
    expect([texts.length, texts.filter((text) => /returning/i.test(text))]).toEqual([1, []]);
    expect(database.questions).toEqual([{ xids: [], anyway: true, open: [] }]);
  });

  it('forgets a transaction that was rolled back after its work was done', async () => {
    const { shop, database } = await open({ outbox: { relay: false } });
    const rolledBack = new Error('rolled back');
    const failing = memory.transaction(async (sql) => {
      await shop.outbox.within(fromPg(sql), () => shop.runtime.events.sendEvent(OrderPlaced, { order: 'k' }));
      throw rolledBack;
    });
    await expect(failing).rejects.toBe(rolledBack);
    await until('it is asked for', () => database.questions.length === 1);
    await place(shop, ['1']);
    await until('the next is asked for', () => database.questions.length === 2);
    const [first, second] = database.questions;
    expect([first?.xids.length, first?.open, second?.xids.length]).toEqual([1, [], 1]);
    expect(second?.xids).not.toEqual(first?.xids);
  });
});
