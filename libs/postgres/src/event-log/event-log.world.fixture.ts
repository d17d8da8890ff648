import { createHash } from 'node:crypto';
import { type DeadLetter, Event, EventingError, type InboxEntry } from 'nestjs-eventing';
import { ScriptedProvider } from '../../../eventing/src/scripted.provider.fixture.js';
import { databaseTransactions } from '../adapters/pg.adapter.js';
import { PostgresInbox } from '../inbox/postgres.inbox.js';
import { Shop, type ShopOptions, until } from '../outbox/outbox.fixture.js';
import type { Database } from '../sql/database.js';
import { PostgresEventLog } from './postgres.event-log.js';

@Event({ name: 'orders.placed', version: 2, channel: 'orders', key: 'order' })
class OrderPlaced {
  order!: string;
}
@Event({ name: 'bills.sent', channel: 'bills', provider: 'audit' })
class BillSent {
  order!: string;
}

/** A store of dead letters that gives pages of what it is asked for. */
export function storing(provider: ScriptedProvider, letters: DeadLetter[]): void {
  Object.assign(provider.deadLetters, {
    scan: async ({ cursor = '0', limit }: { cursor?: string; limit: number }) => {
      const page = letters.slice(Number(cursor), Number(cursor) + limit);
      const end = Number(cursor) + page.length;
      return end < letters.length ? { letters: page, cursor: String(end) } : { letters: page };
    },
    remove: async (ids: readonly string[]) =>
      void letters.splice(0, letters.length, ...letters.filter(({ id }) => !ids.includes(id))),
  });
}

/** A service with outbox, inbox and log in one schema, on two providers that do as they are told. */
export class World {
  readonly provider = new ScriptedProvider();
  readonly audit = new ScriptedProvider();
  readonly letters: DeadLetter[] = [];
  readonly auditLetters: DeadLetter[] = [];
  readonly log: PostgresEventLog;
  readonly inbox: PostgresInbox;
  readonly shop: Shop;

  constructor(
    readonly database: Database,
    readonly schema: string,
    options: ShopOptions = {},
  ) {
    const open = async (): Promise<Database> => database;
    storing(this.provider, this.letters);
    storing(this.audit, this.auditLetters);
    this.log = new PostgresEventLog({ database: open, schema });
    this.inbox = new PostgresInbox({ database: open, schema });
    this.shop = new Shop(database, schema, {
      provider: this.provider,
      providers: { audit: this.audit.factory },
      inbox: this.inbox,
      log: this.log,
      ...options,
      outbox: {
        retention: 3_600_000,
        retry: { attempts: 2, backoff: { kind: 'fixed', delay: 10 } },
        ...options.outbox,
      },
    });
  }

  /** Sends these orders in one transaction. */
  place(...ids: readonly string[]): Promise<void> {
    const { outbox, runtime } = this.shop;
    return databaseTransactions(this.database)((_sql, adapter) =>
      outbox.within(adapter, async () => {
        for (const id of ids) await runtime.events.sendEvent(OrderPlaced, { order: `k${id}` }, { id });
      }),
    );
  }

  bill(id: string): Promise<void> {
    const { outbox, runtime } = this.shop;
    return databaseTransactions(this.database)((_sql, adapter) =>
      outbox.within(adapter, async () => void (await runtime.events.sendEvent(BillSent, { order: id }, { id }))),
    );
  }

  /** The broker refuses these. */
  refuse(...ids: readonly string[]): void {
    this.provider.onPublish = async (messages) =>
      messages.flatMap(({ id }, index) =>
        ids.includes(id)
          ? [{ index, indeterminate: false, error: new EventingError('EVT_PUBLISH_FAILED', `no ${id}`) }]
          : [],
      );
  }

  async handle(
    id: string,
    about: Partial<NonNullable<InboxEntry['about']>> = {},
    listener = 'shop.Bill',
  ): Promise<void> {
    const digest = createHash('sha256').update(id).digest();
    const all = { event: 'orders.placed', version: 2, channel: 'orders', key: `k${id}`, attempt: 1, ...about };
    await this.inbox.once({ listener, source: '/web', id, digest, about: all }, async () => undefined);
  }

  /** Handled then, whatever the clock of the database says. */
  async handledAt(id: string, milliseconds: number): Promise<void> {
    await this.database.query(
      `UPDATE "${this.schema}".inbox SET handled_at = to_timestamp($1::float8 / 1000) WHERE id = $2`,
      [milliseconds, id],
    );
  }

  parked(count: number): Promise<void> {
    return until('they are given up', async () => (await this.shop.count(`state = 'failed'`)) === count);
  }
}
