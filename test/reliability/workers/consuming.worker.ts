import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { type Envelope, EventListener, EventManager } from 'nestjs-eventing';
import { SeededRandom } from '../../../libs/testing/src/conformance/seeded.random.js';
import { OrderPlaced, PaymentMade } from './shop.events.js';
import { asked, history, inbox, pool, startApplication } from './worker.application.js';
import { setup } from './worker.argument.js';
import { CHARGE, SETTLE } from './worker.setup.js';

/** Milliseconds that handling takes at most. */
const LONGEST = 8;
/** One of so many attempts fails after all of its work. */
const FAILS = 60;

// Whatever is killed or cut off that often is no poison here: a dead letter would count as lost.
const OPTIONS = {
  guarantee: 'exactly-once',
  concurrency: 8,
  window: 64,
  retry: { attempts: 1_000, backoff: { kind: 'fixed', delay: 200 } },
} as const;

const random = new SeededRandom(setup.seed);

/** Writes an effect, and does what else is to be done, in the inbox's transaction. */
async function handle(
  call: { readonly channel: string; readonly listener: string },
  { body, id, attempt }: Envelope<OrderPlaced>,
  work: (transaction: string) => Promise<unknown>,
): Promise<void> {
  const { order: event, key, number } = body;
  const transaction = `${call.listener}/${randomUUID()}`;
  const named = { ...call, event };
  history.note({ kind: 'started', ...named, key, sequence: number, message: id, attempt });
  try {
    await pause(random.below(LONGEST));
    await inbox
      .transaction()
      .query('INSERT INTO effects (listener, channel, event, message, transaction) VALUES ($1, $2, $3, $4, $5)', [
        ...[call.listener, call.channel, event, id, transaction],
      ]);
    await work(transaction);
    if (random.below(FAILS) === 0) throw new Error('failed on purpose');
  } catch (error) {
    history.note({ kind: 'transaction', transaction, state: 'rolled back' });
    history.note({ kind: 'failed', ...named });
    throw error;
  }
  history.note({ kind: 'transaction', transaction, state: 'committing' });
  history.note({ kind: 'ended', ...named });
}

@EventListener(OrderPlaced, OPTIONS)
class Charge implements EventListener<OrderPlaced> {
  constructor(private readonly events: EventManager) {}

  on(body: OrderPlaced, envelope: Envelope<OrderPlaced>): Promise<void> {
    const { order, key, number } = body;
    return handle({ channel: 'orders', listener: CHARGE }, envelope, (transaction) => {
      history.note({ kind: 'send', channel: 'payments', event: order, key, sequence: number, transaction });
      return this.events.sendEvent(PaymentMade, { order, key, number });
    });
  }
}

@EventListener(PaymentMade, OPTIONS)
class Settle implements EventListener<PaymentMade> {
  on(_: PaymentMade, envelope: Envelope<PaymentMade>): Promise<void> {
    return handle({ channel: 'payments', listener: SETTLE }, envelope, () => Promise.resolve());
  }
}

const app = await startApplication([Charge, Settle]);
history.note({ kind: 'mark', mark: 'ready' });
await asked;
await app.close();
await pool.end();
