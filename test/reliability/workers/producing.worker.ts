import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { EventManager } from 'nestjs-eventing';
import type { PgPoolClient } from 'nestjs-eventing/postgres';
import { SeededRandom } from '../../../libs/testing/src/conformance/seeded.random.js';
import { OrderPlaced } from './shop.events.js';
import { asked, history, outbox, pool, startApplication, transactions } from './worker.application.js';
import { setup } from './worker.argument.js';

/** Shared by all producers: a row of each key is what their transactions exclude each other by. */
const KEYS = 40;
/** Transactions at one time. */
const LANES = 4;
/** Events of one transaction. */
const MOST = 3;
/** One of so many transactions is rolled back. */
const REGRETS = 10;
/** Milliseconds between two looks at how many may be begun. */
const LOOK = 100;
/** Milliseconds after a transaction that failed. */
const TROUBLE = 100;

class Regret extends Error {}

const random = new SeededRandom(setup.seed);
const app = await startApplication([]);
const events = app.get(EventManager);
const state = { open: true, allowed: false };

async function nextNumber(client: PgPoolClient, key: string): Promise<number> {
  const { rows } = await client.query(
    `INSERT INTO counters (key, number) VALUES ($1, 0)
      ON CONFLICT (key) DO UPDATE SET number = counters.number + 1 RETURNING number`,
    [key],
  );
  return (rows[0] as { readonly number: number }).number;
}

async function place(client: PgPoolClient, key: string, transaction: string): Promise<void> {
  const number = await nextNumber(client, key);
  const order = `${key}#${number}~${randomUUID().slice(0, 8)}`;
  const facts = { channel: 'orders', event: order, key, sequence: number, message: order };
  history.note({ kind: 'send', ...facts, transaction });
  await client.query('INSERT INTO orders (event, transaction) VALUES ($1, $2)', [order, transaction]);
  await events.sendEvent(OrderPlaced, { order, key, number }, { id: order });
}

async function placeSome(): Promise<void> {
  const transaction = `${setup.name}/${randomUUID()}`;
  const key = `k${random.below(KEYS)}`;
  const count = 1 + random.below(MOST);
  const regrets = random.below(REGRETS) === 0;
  const note = (told: 'committing' | 'committed' | 'rolled back'): void =>
    history.note({ kind: 'transaction', transaction, state: told });
  await transactions(async (client, adapter) => {
    const work = async (): Promise<void> => {
      for (let left = count; left > 0; left--) await place(client, key, transaction);
      if (!regrets) return;
      note('rolled back');
      throw new Regret('rolled back on purpose');
    };
    await outbox.within(adapter, work);
    note('committing');
  });
  note('committed');
}

async function look(): Promise<void> {
  const quota = 'SELECT orders > (SELECT last_value FROM orders_number_seq) AS allowed FROM quota';
  while (state.open) {
    const answer = await pool.query<{ allowed: boolean }>(quota).catch(() => undefined);
    state.allowed = answer?.rows[0]?.allowed ?? false;
    await pause(LOOK);
  }
}

async function lane(): Promise<void> {
  while (state.open) {
    if (!state.allowed) {
      await pause(LOOK);
      continue;
    }
    try {
      await placeSome();
    } catch (error) {
      if (error instanceof Regret) continue;
      // The database is away, or was: what became of the transaction its row will tell.
      console.warn(String(error));
      await pause(TROUBLE);
    }
    if (setup.pause > 0) await pause(random.below(2 * setup.pause));
  }
}

history.note({ kind: 'mark', mark: 'ready' });
const lanes = [look(), ...Array.from({ length: LANES }, lane)];
await asked;
state.open = false;
await Promise.all(lanes);
await app.close();
await pool.end();
