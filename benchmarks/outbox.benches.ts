import { Client } from 'pg';
import { type Comparison, cpu, rate, time } from './comparison.js';

interface Transaction {
  /** What is said of it in the table. */
  readonly said: string;
  readonly open: string;
  readonly events: number;
  readonly prepared?: 'yes';
  readonly wake?: 'poll';
}

const TRANSACTIONS: readonly Transaction[] = [
  { said: 'one at a time', open: '1', events: 1_000 },
  { said: 'one at a time, statements prepared', open: '1', events: 1_000, prepared: 'yes' },
  { said: '8 at a time', open: '8', events: 4_000 },
  { said: '8 at a time, statements prepared', open: '8', events: 4_000, prepared: 'yes' },
  { said: "8 at a time, wake: 'poll', statements prepared", open: '8', events: 4_000, prepared: 'yes', wake: 'poll' },
];

/** A transaction with an event beside the same with two bare INSERTs: the order, and a row with what ours stores. */
export function outboxBenches(url: string): readonly Comparison[] {
  return TRANSACTIONS.map(({ said, events, ...settings }) => ({
    bench: `outbox: an order and its event in a transaction, ${said}`,
    module: 'outbox.subjects',
    ours: 'transactionEventing',
    reference: 'transactionByHand',
    names: ['nestjs-eventing', 'pg, two INSERTs'],
    settings: { url, events: String(events), ...settings },
    // What is compiled late weighs more than what is compared.
    warmUp: 4,
    rounds: 9,
    metrics: [time('transaction', { text: '≤ 1.1 ×', met: (ratio) => ratio <= 1.1 }), cpu()],
  }));
}

/** While somebody listens, as the relays of another process do. */
export async function besideListener<T>(url: string, work: () => Promise<T>): Promise<T> {
  const relay = new Client(url);
  await relay.connect();
  try {
    await relay.query('LISTEN eventing_outbox');
    return await work();
  } finally {
    await relay.end();
  }
}

/** The relay beside a loop that reads, publishes by the same provider and deletes, 500 at a time. */
export function relayBenches(url: string, brokers?: string): readonly Comparison[] {
  const provider = brokers === undefined ? 'the in-memory provider' : 'Kafka';
  return [
    {
      bench: `outbox: the relay to ${provider}`,
      module: 'outbox.subjects',
      ours: 'relayEventing',
      reference: 'relayLoop',
      names: ['nestjs-eventing', 'a loop, by the same provider'],
      settings: { url, events: '50000', ...(brokers === undefined ? {} : { brokers }) },
      warmUp: 1,
      rounds: 7,
      metrics: [rate({ text: '≥ 0.7 ×', met: (ratio) => ratio >= 0.7 }), cpu()],
    },
  ];
}
