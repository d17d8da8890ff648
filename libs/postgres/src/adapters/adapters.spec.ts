import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/pglite';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { refusal } from '../../../eventing/src/kernel.fixture.js';
import { MemoryDatabase } from '../outbox/outbox.fixture.js';
import { drizzleTransactions, fromDrizzle } from './drizzle.adapter.js';
import { databaseTransactions, fromPg, pgTransactions } from './pg.adapter.js';
import { fromPrisma, prismaTransactions } from './prisma.adapter.js';
import { fromTypeOrm, typeOrmTransactions } from './typeorm.adapter.js';

/** Transactions of a library, as far as a runner sees them. */
function committing<Client>(log: string[], client: Client): <T>(work: (client: Client) => Promise<T>) => Promise<T> {
  return async (work) => {
    const result = await work(client);
    log.push('committed');
    return result;
  };
}

describe('adapters', () => {
  let database: MemoryDatabase;
  let table: string;
  let tests = 0;
  beforeAll(async () => {
    database = await MemoryDatabase.open();
  }, 120_000);
  beforeEach(async () => {
    table = `t${++tests}`;
    await database.query(`CREATE TABLE ${table} (id text, body bytea, flag boolean, missing text)`);
  });
  afterAll(() => database.end());

  const insert = (): string =>
    `INSERT INTO ${table} (missing, id, body, flag) VALUES ($4::text, $1::text, $2::bytea, $3::boolean) RETURNING id, $1::text AS again`;
  const values = ['$1 is text, too', Uint8Array.of(0, 255), true, null];
  const inserted = [{ id: '$1 is text, too', again: '$1 is text, too' }];

  async function rows(): Promise<unknown[]> {
    const found = await database.query<{ id: string; body: Uint8Array }>(`SELECT * FROM ${table}`);
    return found.rows.map((row) => ({ ...row, body: [...row.body] }));
  }
  const stored = [{ id: '$1 is text, too', body: [0, 255], flag: true, missing: null }];

  it('run a statement in a transaction of PGlite', async () => {
    const given = await database.pglite.transaction((tx) => fromPg(tx)(insert(), values));
    expect([given, await rows()]).toEqual([inserted, stored]);
  });

  it("run a statement in Drizzle's", async () => {
    const given = await drizzle(database.pglite).transaction((tx) => fromDrizzle(tx, sql)(insert(), values));
    expect([given, await rows()]).toEqual([inserted, stored]);
  });

  it("open Drizzle's transactions: nothing stays of one that failed, even if nobody says so", async () => {
    const transactions = drizzleTransactions(drizzle(database.pglite), sql);
    expect(
      await transactions(async (tx, adapter) => {
        // It may be a savepoint for all that is known.
        expect(adapter.onCommit).toBeUndefined();
        await tx.execute(sql`SELECT 1`);
        return adapter(insert(), values);
      }),
    ).toEqual(inserted);
    const swallowing = transactions(async (_tx, adapter) => {
      await adapter(insert(), values);
      await adapter('SELECT 1 / 0', []).catch(() => undefined);
    });
    await expect(swallowing).rejects.toThrow(/aborted|Failed query/);
    expect(await rows()).toEqual(stored);
  });

  it("tell of the commit of this room's own, when others see what was stored, and of no rollback", async () => {
    const transactions = databaseTransactions(database);
    const told: Promise<unknown[]>[] = [];
    const tell = (): void => void told.push(rows());
    await transactions(async (_sql, adapter) => {
      await adapter(insert(), values);
      for (let time = 0; time < 2; time++) adapter.onCommit?.(tell);
      expect(told).toEqual([]);
    });
    expect(await Promise.all(told)).toEqual([stored]);
    const failing = transactions(async (_sql, adapter) => {
      adapter.onCommit?.(tell);
      throw new Error('rolled back');
    });
    await expect(failing).rejects.toThrow('rolled back');
    expect(told).toHaveLength(1);
  });

  it("open this room's own: nothing stays of one that failed, even if nobody says so", async () => {
    const transactions = databaseTransactions(database);
    expect(await transactions((_sql, adapter) => adapter(insert(), values))).toEqual(inserted);
    const swallowing = transactions(async (own, adapter) => {
      await adapter(insert(), values);
      await own.query('SELECT 1 / 0').catch(() => undefined);
    });
    await expect(swallowing).rejects.toThrow(/aborted|Failed query/);
    expect(await rows()).toEqual(stored);
  });

  it.each([
    [
      "TypeORM's",
      (log: string[]) =>
        typeOrmTransactions({
          manager: { query: () => Promise.resolve([]) },
          transaction: committing(log, { query: () => Promise.resolve([]) }),
        }),
    ],
    [
      "Prisma's",
      (log: string[]) =>
        prismaTransactions({ $transaction: committing(log, { $queryRawUnsafe: () => Promise.resolve([]) }) }),
    ],
  ])('tell of the commit of %s, and of no rollback', async (_whose, open) => {
    const log: string[] = [];
    const run = (work: () => void): Promise<void> =>
      open(log)(async (_client, adapter) => {
        adapter.onCommit?.(() => log.push('told'));
        work();
      });
    await run(() => undefined);
    expect(log).toEqual(['committed', 'told']);
    await expect(run(() => { throw new Error('rolled back'); })).rejects.toThrow('rolled back'); // prettier-ignore
    expect(log).toEqual(['committed', 'told']);
  });

  describe('of a pool of pg', () => {
    class Client {
      readonly texts: string[] = [];
      readonly released: (boolean | undefined)[] = [];
      tag = 'COMMIT';
      failing: string | undefined;
      async query(text: string): Promise<{ rows: unknown[]; command: string }> {
        this.texts.push(text);
        if (text === this.failing) throw new Error(`${text} failed`);
        return { rows: [], command: text === 'commit' ? this.tag : '' };
      }
      readonly listeners = new Set<() => void>();
      on(_event: 'error', listener: () => void): void {
        this.listeners.add(listener);
      }
      off(_event: 'error', listener: () => void): void {
        this.listeners.delete(listener);
      }
      release(broken?: boolean): void {
        this.released.push(broken);
      }
    }
    let client: Client;
    beforeEach(() => {
      client = new Client();
    });
    const run = <T>(work: () => Promise<T>): Promise<T> => pgTransactions({ connect: async () => client })(work);

    it('commit, and give the client back', async () => {
      expect(await run(async () => 5)).toBe(5);
      expect([client.texts, client.released]).toEqual([['begin', 'commit'], [false]]);
    });

    it('have statements prepared under names made of their text, where they are told to', async () => {
      const configs: { name: string; text: string; values: unknown[] }[] = [];
      const query = async (given: unknown): Promise<{ rows: unknown[]; command: string }> => {
        if (typeof given !== 'string') configs.push(given as (typeof configs)[number]);
        return { rows: [{ id: 1 }], command: 'COMMIT' };
      };
      const own = { query, on: () => undefined, off: () => undefined, release: () => undefined };
      const transactions = [1, 2].map(() => pgTransactions({ connect: async () => own }, { prepare: true }));
      for (const run of transactions)
        expect(await run(async (_client, adapter) => adapter('SELECT $1', [5]))).toEqual([{ id: 1 }]);
      await transactions[0]?.((_client, adapter) => adapter('SELECT 2', []));
      const [first, second, third] = configs;
      expect(first).toEqual({ name: expect.stringMatching(/^evt_[0-9a-f]{32}$/), text: 'SELECT $1', values: [5] });
      expect([second?.name === first?.name, third?.name === first?.name]).toEqual([true, false]);
    });

    it('roll back what fails, and give the client back', async () => {
      await expect(run(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
      expect([client.texts, client.released]).toEqual([['begin', 'rollback'], [false]]);
    });

    it('tell of the commit once it is done', async () => {
      const told: string[][] = [];
      await pgTransactions({ connect: async () => client })(async (_client, adapter) => {
        adapter.onCommit?.(() => told.push([...client.texts]));
      });
      expect(told).toEqual([['begin', 'commit']]);
    });

    it('reject where the commit was a rollback, of which nobody is told', async () => {
      client.tag = 'ROLLBACK';
      let told = 0;
      const rolledBack = pgTransactions({ connect: async () => client })(async (_client, adapter) =>
        adapter.onCommit?.(() => told++),
      );
      expect((await refusal(rolledBack)).code).toBe('EVT_TRANSACTION_FAILED');
      expect(told).toBe(0);
      expect([client.texts, client.released]).toEqual([['begin', 'commit', 'rollback'], [false]]);
    });

    it('hear of a connection that breaks while nothing runs, and do not lend it again', async () => {
      const working = run(async () => {
        for (const listener of client.listeners) listener();
        throw new Error('the next statement says so');
      });
      await expect(working).rejects.toThrow('says so');
      expect([client.texts, client.released, client.listeners.size]).toEqual([['begin'], [true], 0]);
    });

    it('do not lend a client again that cannot be rolled back', async () => {
      client.failing = 'rollback';
      await expect(run(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
      expect(client.released).toEqual([true]);
    });
  });

  // A client of Prisma's is generated, and the generator fetches a program from its maker: what is here does as that client does.
  describe('of Prisma', () => {
    class Client {
      readonly asked: [text: string, ...values: unknown[]][] = [];
      readonly given: unknown[] = [];
      failing: string | undefined;
      async $queryRawUnsafe(text: string, ...values: unknown[]): Promise<unknown> {
        this.asked.push([text, ...values]);
        if (text === this.failing) throw new Error('current transaction is aborted');
        return text.startsWith('SELECT') ? [{ id: 1 }] : [];
      }
      async $transaction<T>(work: (tx: Client) => Promise<T>, options?: object): Promise<T> {
        this.given.push(options);
        return work(this);
      }
    }

    it('bind values one by one, and give the rows', async () => {
      const client = new Client();
      expect(await fromPrisma(client)('SELECT $1, $2', ['a', null])).toEqual([{ id: 1 }]);
      expect(client.asked).toEqual([['SELECT $1, $2', 'a', null]]);
    });

    it('ask before the commit whether the transaction is still good, and pass on how long it may last', async () => {
      const client = new Client();
      const transactions = prismaTransactions(client, { timeout: 60_000 });
      expect(await transactions(async (tx, adapter) => [tx === client, await adapter('INSERT', [])])).toEqual([
        true,
        [],
      ]);
      expect([client.asked.map(([text]) => text), client.given]).toEqual([
        ['INSERT', 'select 1'],
        [{ timeout: 60_000 }],
      ]);
      client.failing = 'select 1';
      await expect(transactions(async () => 'swallowed why')).rejects.toThrow('aborted');
    });
  });

  describe('of TypeORM', () => {
    const manager = {
      answer: [] as unknown,
      query: async (): Promise<unknown> => manager.answer,
    };

    it.each([
      ['rows', [{ id: 1 }], [{ id: 1 }]],
      ['no rows', [], []],
      ['rows and a count, of an UPDATE', [[{ id: 1 }], 1], [{ id: 1 }]],
      ['nothing', undefined, []],
    ])('take %s', async (_what, answer, expected) => {
      manager.answer = answer;
      expect(await fromTypeOrm(manager)('SELECT 1', [])).toEqual(expected);
    });

    it('ask before the commit whether the transaction is still good', async () => {
      const texts: string[] = [];
      const asked = { query: async (text: string): Promise<unknown> => void texts.push(text) };
      const dataSource = {
        manager: asked,
        transaction: <T>(work: (given: typeof asked) => Promise<T>): Promise<T> => work(asked),
      };
      await typeOrmTransactions(dataSource)((given) => given.query('SELECT 2'));
      expect(texts).toEqual(['SELECT 2', 'select 1']);
    });
  });
});
