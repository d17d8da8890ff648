import type { HistoryExpectations, PublishedRecord } from '../../../libs/testing/src/index.js';
import type { PostgresBroker, Unavailable } from '../../brokers/brokers.js';
import { startOwnPostgres } from '../../brokers/brokers.js';
import type { ChannelName } from '../channels.js';
import { CHARGE, IDLE_TRANSACTION, SETTLE, type SystemName } from '../workers/worker.setup.js';

/** What the service needs and a fault can take away. */
export interface Part {
  readonly name: string;
  /** `kill -9`, with its data on disk. */
  kill(): Promise<void>;
  /** Serves again when it resolves. */
  restart(): Promise<void>;
}

/** What the events travel by, beside the database with the service's own tables; all of it real, and ours to kill. */
export interface System {
  readonly available: true;
  readonly name: SystemName;
  readonly database: PostgresBroker;
  /** The broker's address, as the workers take it. */
  readonly broker: string;
  readonly parts: readonly Part[];
  readonly expectations: HistoryExpectations;
  /** When the listeners are there, and before anything is sent. */
  prepare(): Promise<void>;
  /** Everything that the broker has, read by a client that is not ours; those of a key in its order. */
  published(found: (record: PublishedRecord) => void): Promise<void>;
  close(): Promise<void>;
}

export type SystemStart = () => Promise<System | Unavailable>;

/** The database of each system. A transaction of a process that is stopped does not hold others up for ever. */
export function startDatabase(): Promise<PostgresBroker | Unavailable> {
  return startOwnPostgres({ settings: { idle_in_transaction_session_timeout: `${IDLE_TRANSACTION}ms` } });
}

export function partOf(name: string, part: Omit<Part, 'name'>): Part {
  return { name, kill: () => part.kill(), restart: () => part.restart() };
}

/**
 * @param outputs how what listeners send gets to the broker. Transactions publish it once for each time that the broker has the order, which is
 * more than once when an outbox published it again.
 */
export function expectationsOf(outputs: 'outbox' | 'transactions'): HistoryExpectations {
  const listener = { guarantee: 'exactly-once', inbox: true } as const;
  return {
    channels: {
      orders: { listeners: { [CHARGE]: listener }, outbox: true },
      payments: {
        listeners: { [SETTLE]: listener },
        ...(outputs === 'outbox' ? { outbox: true } : { copies: { asOftenAs: 'orders' } }),
      },
    },
  };
}

/** Reads what a message is, of its body. */
export function recordOf(channel: ChannelName, body: string, message: string): PublishedRecord {
  const { order, key, number } = JSON.parse(body) as { order: string; key: string; number: number };
  return { kind: 'published', channel, event: order, key, sequence: number, message };
}
