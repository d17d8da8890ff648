import {
  type Clock,
  Event,
  EventingError,
  type OutgoingMessage,
  type PublishFailure,
  systemClock,
} from 'nestjs-eventing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Gate, refusal, refusalOf } from '../../../eventing/src/kernel.fixture.js';
import { ScriptedProvider } from '../../../eventing/src/scripted.provider.fixture.js';
import { fromPg } from '../adapters/pg.adapter.js';
import type { Sql } from '../sql/database.js';
import { Outbox } from './outbox.js';
import { MemoryDatabase, Shop, type ShopOptions, until } from './outbox.fixture.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'order' })
class OrderPlaced {
  order!: string;
  total!: number;
}

@Event({ name: 'audited', provider: 'audit' })
class Audited {
  what!: string;
}

const rolledBack = new Error('rolled back');

describe('the outbox', () => {
  let database: MemoryDatabase;
  let schema: string;
  let tests = 0;
  const shops: Shop[] = [];
  beforeAll(async () => {
    database = await MemoryDatabase.open();
  }, 120_000);
  beforeEach(() => {
    schema = `shop_${++tests}`;
    database.onQuery = () => undefined;
    database.texts.length = 0;
  });
  afterEach(() => Promise.all(shops.splice(0).map((shop) => shop.stop())));
  afterAll(() => database.end());

  async function open(options: ShopOptions = {}): Promise<Shop> {
    const shop = new Shop(database, schema, options);
    shops.push(shop);
    return shop.start();
  }

  /** Sends these orders in one transaction. */
  function place(shop: Shop, ids: readonly string[], key = 'k', more?: (sql: Sql) => Promise<void>): Promise<void> {
    return database.transaction((sql) =>
      shop.outbox.within(fromPg(sql), async () => {
        for (const id of ids) await shop.runtime.events.sendEvent(OrderPlaced, { order: key, total: 1 }, { id });
        await more?.(sql);
      }),
    );
  }

  function failing(ids: readonly string[], error = new EventingError('EVT_PUBLISH_FAILED', 'refused')) {
    return (messages: readonly OutgoingMessage[]): Promise<readonly PublishFailure[]> =>
      Promise.resolve(
        messages.flatMap(({ id }, index) => (ids.includes(id) ? [{ index, error, indeterminate: false }] : [])),
      );
  }

  describe('storing', () => {
    it('publishes after the commit what was sent inside, as it was sent, and keeps nothing', async () => {
      const shop = await open();
      const direct = await open({ provider: new ScriptedProvider(), outbox: { relay: false } });
      const options = { id: 'e1', key: 'k', headers: { tenant: 'acme' }, correlationId: 'c' };
      await direct.runtime.events.sendEvent(OrderPlaced, { order: 'k', total: 3 }, options);
      const gate = new Gate();
      const committing = place(shop, [], 'k', async () => {
        await shop.runtime.events.sendEvent(OrderPlaced, { order: 'k', total: 3 }, options);
        expect(shop.ids).toEqual([]);
        gate.open();
      });
      await gate.promise;
      await committing;
      await shop.empty();
      const [sent] = shop.provider.messages;
      const [expected] = direct.provider.messages;
      expect({ ...sent, time: 0, body: Buffer.from(sent?.body ?? []).toString() }).toEqual({
        ...expected,
        time: 0,
        body: Buffer.from(expected?.body ?? []).toString(),
      });
      expect(await shop.count()).toBe(0);
    });

    it('leaves nothing of a transaction that is rolled back', async () => {
      const shop = await open();
      const work = place(shop, ['1', '2'], 'k', () => Promise.reject(rolledBack));
      await expect(work).rejects.toBe(rolledBack);
      await place(shop, ['3']);
      await shop.empty();
      expect(shop.ids).toEqual(['3']);
    });

    it('keeps bytes among the headers, and to whom alone a message goes', async () => {
      const shop = await open();
      const message: OutgoingMessage = {
        ...{ id: '1', channel: 'orders', key: undefined, time: 5, durable: false, to: 'SendReceipt' },
        headers: { text: 'a "b"', bytes: Uint8Array.of(0, 255, 10) },
        body: Uint8Array.of(0, 1, 255),
      };
      for (const count of [1, 2])
        await database.transaction(async (sql) => {
          const transaction = shop.outbox.begin(fromPg(sql));
          for (let index = 0; index < count; index++) void transaction.stage('default', message);
          await transaction.end();
        });
      await until('all are published', () => shop.ids.length === 3);
      for (const { headers, body, ...rest } of shop.provider.messages) {
        expect(rest).toEqual({
          id: '1',
          channel: 'orders',
          key: undefined,
          time: 5,
          durable: false,
          to: 'SendReceipt',
        });
        expect(headers['text']).toBe('a "b"');
        expect([...Buffer.from(headers['bytes'] as Uint8Array)]).toEqual([0, 255, 10]);
        expect([...body]).toEqual([0, 1, 255]);
      }
    });

    it('stores what is sent together by one statement, in the order of the calls', async () => {
      const shop = await open();
      const ids = Array.from({ length: 50 }, (_, index) => `e${index}`);
      const before = database.texts.length;
      await database.transaction((sql) =>
        shop.outbox.within(fromPg(sql), async () => {
          await Promise.all(
            ids.map((id) => shop.runtime.events.sendEvent(OrderPlaced, { order: 'k', total: 1 }, { id })),
          );
        }),
      );
      expect(database.texts.slice(before).filter((text) => text.startsWith('INSERT'))).toHaveLength(1);
      await shop.empty();
      expect(shop.ids).toEqual(ids);
    });

    it('stores what nobody awaited before the work counts as done', async () => {
      const shop = await open({ outbox: { relay: false } });
      await database.transaction((sql) =>
        shop.outbox.within(fromPg(sql), async () => {
          void shop.runtime.events.sendEvent(OrderPlaced, { order: 'k', total: 1 });
        }),
      );
      expect(await shop.count()).toBe(1);
    });

    it('refuses what is sent after the work is over', async () => {
      const shop = await open();
      const late = new Gate();
      let sending: Promise<unknown> = Promise.resolve();
      await place(shop, ['1'], 'k', async () => {
        sending = late.promise.then(() => shop.runtime.events.sendEvent(OrderPlaced, { order: 'k', total: 1 }));
      });
      late.open();
      const error = await refusal(sending);
      expect(error.code).toBe('EVT_OUTBOX_CLOSED');
      await shop.empty();
      expect(shop.ids).toEqual(['1']);
    });

    it('does not let the work succeed without its event, even if nobody looked', async () => {
      const shop = await open();
      const broken = new Error('the disk is full');
      database.onQuery = (text) => {
        if (text.includes('.outbox (service')) throw broken;
      };
      let answer: EventingError | undefined;
      const work = place(shop, [], 'k', async () => {
        answer = await refusal(shop.runtime.events.sendEvent(OrderPlaced, { order: 'k', total: 1 }));
      });
      const error = await refusal(work);
      expect([error.code, error.cause, answer?.code]).toEqual([
        'EVT_TRANSACTION_FAILED',
        broken,
        'EVT_TRANSACTION_FAILED',
      ]);
    });

    it('bounds what waits for being stored', async () => {
      const shop = await open({ outbox: { relay: false, maxStaged: 2 } });
      const codes = await database.transaction((sql) =>
        shop.outbox.within(fromPg(sql), async () => {
          const sends = [1, 2, 3].map(() => shop.runtime.events.sendEvent(OrderPlaced, { order: 'k', total: 1 }));
          const answers = await Promise.allSettled(sends);
          return answers.map((answer) =>
            answer.status === 'fulfilled' ? 'stored' : (answer.reason as EventingError).code,
          );
        }),
      );
      expect(codes).toEqual(['stored', 'stored', 'EVT_BUFFER_FULL']);
    });

    it('is nothing without its application', async () => {
      const outbox = new Outbox({ database: async () => database });
      const error = await refusal(
        outbox.within(
          async () => [],
          async () => undefined,
        ),
      );
      expect(error.code).toBe('EVT_NOT_RUNNING');
    });

    it('names every option that cannot be used', () => {
      const options = { schema: 'Shop; DROP', lease: 5, retry: { attempts: 0 }, parkedKeys: 'skip' as 'wait', pol: 1 };
      const error = refusalOf(() => new Outbox({ database: async () => database, ...options }));
      expect(error.code).toBe('EVT_INVALID_OPTIONS');
      for (const name of ['schema', 'lease', 'retry.attempts', 'parkedKeys', 'pol'])
        expect(error.message).toContain(`\`${name}\``);
    });
  });

  describe('relaying', () => {
    it('keeps the order of a key over many batches, and publishes each once', async () => {
      const shop = await open({ outbox: { batch: 7 } });
      const ids = Array.from({ length: 60 }, (_, index) => `e${index}`);
      for (let from = 0; from < ids.length; from += 6)
        await place(shop, ids.slice(from, from + 6), `k${(from / 6) % 3}`);
      await shop.empty();
      expect([...shop.ids].sort()).toEqual([...ids].sort());
      for (const key of ['k0', 'k1', 'k2']) {
        const ofKey = shop.provider.messages
          .filter((message) => message.key === key)
          .map(({ id }) => Number(id.slice(1)));
        expect(ofKey).toEqual([...ofKey].sort((a, b) => a - b));
      }
    });

    it('is woken by the commit', async () => {
      const shop = await open({ outbox: { pollInterval: 600_000, lease: 3_600_000 } });
      // Its first look is over.
      await until('it is the relay', async () => (await holders()).length === 1);
      await place(shop, ['1']);
      await shop.empty();
      expect(shop.ids).toEqual(['1']);
    });

    it('finds by itself what no notification tells of', async () => {
      const shop = await open({ outbox: { wake: 'poll' } });
      await place(shop, ['1', '2']);
      await shop.empty();
      expect(shop.ids).toEqual(['1', '2']);
    });

    it('publishes by the provider that the event names, and one that is away holds no other up', async () => {
      const audit = new ScriptedProvider();
      const shop = await open({ providers: { audit: audit.factory } });
      shop.provider.onPublish = () => Promise.reject(new EventingError('EVT_CONNECTION', 'away'));
      await place(shop, ['1'], 'k', async () => {
        await shop.runtime.events.sendEvent(Audited, { what: 'x' }, { id: '2' });
      });
      await until('the other is published', () => audit.messages.length === 1);
      expect(await shop.count()).toBeGreaterThanOrEqual(1);
      shop.provider.onPublish = () => Promise.resolve([]);
      await shop.empty();
      expect(shop.logger.having('cannot be reached')).toHaveLength(1);
    });

    it('keeps what was published as a log, where it is told to', async () => {
      const shop = await open({ outbox: { retention: 60_000 } });
      await place(shop, ['1', '2']);
      await shop.empty();
      expect(await shop.count(`state = 'sent' AND settled_at IS NOT NULL AND attempts = 1`)).toBe(2);
      await place(shop, ['3']);
      await shop.empty();
      expect(shop.ids).toEqual(['1', '2', '3']);
    });

    it('says what waits for a provider that is there no more', async () => {
      const before = await open({ providers: { audit: new ScriptedProvider().factory }, outbox: { relay: false } });
      await place(before, [], 'k', async () => {
        await before.runtime.events.sendEvent(Audited, { what: 'x' });
      });
      const shop = await open();
      await until('it is said', () => shop.logger.having('"audit"').length === 1);
      expect(await shop.outbox.depth()).toMatchObject([{ provider: 'audit', waiting: 1, retrying: 0, failed: 0 }]);
    });

    it('goes on after the database was away, and says so once', async () => {
      const shop = await open({ outbox: { wake: 'poll' } });
      database.onQuery = (text) => {
        if (text.startsWith('WITH ready')) throw new Error('the database is away');
      };
      await place(shop, ['1']);
      await until('it is said', () => shop.logger.having('the database is away').length > 0);
      database.onQuery = () => undefined;
      await shop.empty();
      expect([shop.ids, shop.logger.having('the database is away').length]).toEqual([['1'], 1]);
    });

    it('publishes again, under the same id, what it could not write down', async () => {
      const shop = await open({ outbox: { wake: 'poll' } });
      let failures = 0;
      database.onQuery = (text) => {
        if (text.includes('DELETE') && failures++ < 4) throw new Error('the process was killed here, say');
      };
      await place(shop, ['1', '2']);
      await shop.empty();
      const all = shop.ids;
      expect([...new Set(all)]).toEqual(['1', '2']);
      expect(all.length).toBeGreaterThan(2);
    });

    it('ends its round at a stop, and leaves the rest to the next', async () => {
      const shop = await open();
      const gate = new Gate();
      shop.provider.onPublish = async () => {
        await gate.promise;
        return [];
      };
      await place(shop, ['1', '2', '3']);
      await until('it publishes', () => shop.ids.length === 1);
      const stopping = shop.stop();
      gate.open();
      await stopping;
      expect([shop.ids, await shop.count()]).toEqual([['1'], 2]);
      const next = await open();
      await next.empty();
      expect(next.ids).toEqual(['2', '3']);
    });
  });

  describe('what a broker refuses', () => {
    const retry = { attempts: 2, backoff: [20] } as const;

    it('is tried again, its key waits in order, and others go on', async () => {
      const shop = await open({ outbox: { retry: { attempts: 5, backoff: [20] } } });
      let refusals = 0;
      shop.provider.onPublish = (messages) =>
        failing(messages.some(({ id }) => id === '1') && refusals++ < 3 ? ['1'] : [])(messages);
      await place(shop, ['1', '2', '3']);
      await place(shop, ['4'], 'other');
      await shop.empty();
      const ofKey = shop.provider.messages.filter(({ key }) => key === 'k').map(({ id }) => id);
      expect(ofKey.filter((id) => id === '1')).toHaveLength(4);
      expect(ofKey.slice(-3)).toEqual(['1', '2', '3']);
      expect(shop.ids).toContain('4');
    });

    it('is parked after the last attempt with its error, and its key waits until it is sent again', async () => {
      const shop = await open({ outbox: { retry } });
      shop.provider.onPublish = failing(['1']);
      await place(shop, ['1', '2']);
      await place(shop, ['3'], 'other');
      await until('it is parked', async () => (await shop.outbox.failed()).messages.length === 1);
      await until('others go on', () => shop.ids.includes('3'));
      const { messages, cursor } = await shop.outbox.failed({ channel: 'orders', key: 'k' });
      expect(cursor).toBeUndefined();
      expect(messages[0]).toMatchObject({
        ...{ provider: 'default', attempts: 2, message: { id: '1', key: 'k', channel: 'orders' } },
        error: { name: 'EventingError', message: 'refused', code: 'EVT_PUBLISH_FAILED' },
      });
      expect(Math.abs((messages[0]?.failedAt ?? 0) - Date.now())).toBeLessThan(60_000);
      expect(await shop.outbox.depth()).toMatchObject([{ provider: 'default', waiting: 1, retrying: 0, failed: 1 }]);
      expect(shop.ids).not.toContain('2');
      expect(await shop.outbox.resend({ id: 'another' })).toBe(0);
      shop.provider.onPublish = failing([]);
      expect(await shop.outbox.resend({ key: 'k' })).toBe(1);
      await shop.empty();
      expect(shop.ids.slice(-2)).toEqual(['1', '2']);
    });

    it('can be discarded, and its key goes on without it', async () => {
      const shop = await open({ outbox: { retry } });
      shop.provider.onPublish = failing(['1']);
      await place(shop, ['1', '2']);
      await until('it is parked', async () => (await shop.outbox.failed()).messages.length === 1);
      expect(await shop.outbox.discard({ id: '1' })).toBe(1);
      await shop.empty();
      expect([shop.ids.at(-1), await shop.count()]).toEqual(['2', 0]);
    });

    it('lets its key go on where it is told to', async () => {
      const shop = await open({ outbox: { retry, parkedKeys: 'continue' } });
      shop.provider.onPublish = failing(['1']);
      await place(shop, ['1', '2']);
      await until('the next is published', () => shop.ids.includes('2'));
      expect(shop.ids).toEqual(['1', '1', '2']);
      expect((await shop.outbox.failed()).messages.map(({ message }) => message.id)).toEqual(['1']);
    });

    it('never gives up while the broker is in trouble, and counts no attempt', async () => {
      const shop = await open({ outbox: { retry: { attempts: 1, backoff: [10] } } });
      const away = new EventingError('EVT_PUBLISH_TIMEOUT', 'away', { indeterminate: true });
      let refusals = 0;
      shop.provider.onPublish = (messages) =>
        failing(messages.some(({ id }) => id === '1') && refusals++ < 3 ? ['1'] : [], away)(messages);
      await place(shop, ['1', '2']);
      await place(shop, ['3'], 'other');
      await shop.empty();
      expect([await shop.count(), shop.ids.filter((id) => id === '3').length]).toEqual([0, 1]);
      expect(shop.logger.having('gave up')).toEqual([]);
      expect(shop.ids.indexOf('2')).toBeGreaterThan(shop.ids.lastIndexOf('1'));
    });

    it('looks no more often for a message that is due and waits behind one that was given up', async () => {
      const shop = await open({ outbox: { retry: { attempts: 1 }, pollInterval: 200 } });
      shop.provider.onPublish = failing(['1']);
      await place(shop, ['1', '2']);
      await until('it is parked', async () => (await shop.count(`state = 'failed'`)) === 1);
      await database.query(`UPDATE "${schema}".outbox SET state = 'retrying', due_at = now() WHERE id = '2'`);
      const looks = (): number => database.texts.filter((text) => text.startsWith('WITH ready')).length;
      const before = looks();
      await until('it looks again', () => looks() >= before + 3);
      const [begin, from] = [performance.now(), looks()];
      await until('it looks three times more', () => looks() >= from + 3);
      expect(performance.now() - begin).toBeGreaterThan(400);
      expect(shop.ids).toEqual(['1']);
      await shop.outbox.discard({ id: '1' });
      await shop.empty();
      expect(shop.ids).toEqual(['1', '2']);
    });

    it('pages over what was given up', async () => {
      const shop = await open({ outbox: { retry: { attempts: 1 } } });
      const ids = ['1', '2', '3', '4', '5'];
      shop.provider.onPublish = failing(ids);
      for (const id of ids) await place(shop, [id], `k${id}`);
      await until('all are parked', async () => (await shop.count(`state = 'failed'`)) === 5);
      const found: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await shop.outbox.failed({ limit: 2, ...(cursor === undefined ? {} : { cursor }) });
        found.push(...page.messages.map(({ message }) => message.id));
        ({ cursor } = page);
      } while (cursor !== undefined);
      expect(found).toEqual(ids);
      expect((await refusal(shop.outbox.failed({ cursor: 'x' }))).code).toBe('EVT_INVALID_OPTIONS');
      expect((await refusal(shop.outbox.failed({ limit: 0 }))).code).toBe('EVT_INVALID_OPTIONS');
    });
  });

  describe('two relays', () => {
    it('are one at a time, and the other goes on when the first stops', async () => {
      const [one, two] = [await open({ instance: 'one' }), await open({ instance: 'two' })];
      await place(one, ['1', '2']);
      await one.empty();
      const [first, second] = one.ids.length > 0 ? [one, two] : [two, one];
      expect([first.ids, second.ids]).toEqual([['1', '2'], []]);
      await first.stop();
      await place(second, ['3']);
      await second.empty();
      expect([first.ids, second.ids]).toEqual([['1', '2'], ['3']]);
      expect((await holders()).map(({ token }) => token)).toEqual(['2']);
    });

    it('fence one off that has lost its lease: it deletes nothing, and begins no round', async () => {
      let shift = 0;
      const clock: Clock = { ...systemClock, now: () => Date.now() + shift };
      const one = await open({ instance: 'one', clock, outbox: { lease: 60_000 } });
      const gate = new Gate();
      one.provider.onPublish = async () => {
        await gate.promise;
        return [];
      };
      await place(one, ['1', '2', '3']);
      await until('it publishes', () => one.ids.length === 1);
      // As after a pause of the process: nobody renewed it, and another has it.
      shift = 120_000;
      await database.query(
        `UPDATE "${schema}".outbox_relays SET holder = 'two', token = token + 1, expires_at = now() + interval '1 hour'`,
      );
      gate.open();
      await until('it is noticed', () => one.logger.having('lost the lease').length === 1);
      expect([one.ids, await one.count()]).toEqual([['1'], 3]);
      expect(await holders()).toMatchObject([{ holder: 'two', token: '2' }]);
    });
  });

  async function holders(): Promise<readonly { readonly holder: string; readonly token: string }[]> {
    const { rows } = await database.query<{ holder: string; token: string }>(
      `SELECT holder, token::text AS token FROM "${schema}".outbox_relays`,
    );
    return rows;
  }
});
