import type { DeadLetterStore, ProviderContext } from 'nestjs-eventing';
import type { DeferredTable } from '../deferred/deferred.table.js';
import type { Channels } from '../log/channels.js';
import type { EventReader } from '../log/event.reader.js';
import type { LogBounds } from '../log/log.bounds.js';
import type { WakeUps } from '../log/wake.ups.js';
import type { ResolvedLogOptions } from '../postgres.options.js';
import type { Database } from '../sql/database.js';
import type { LeaseTable } from './lease.table.js';
import type { SubscriptionTable } from './subscription.table.js';
import type { TransactionWriter } from './transaction.writer.js';

/** What the subscriptions of a provider share. */
export interface SubscriptionParts {
  readonly database: () => Database;
  readonly options: ResolvedLogOptions;
  readonly context: ProviderContext;
  readonly channels: Channels;
  readonly reader: EventReader;
  readonly bounds: LogBounds;
  readonly wakeUps: WakeUps;
  readonly leases: LeaseTable;
  readonly table: SubscriptionTable;
  readonly transactions: TransactionWriter;
  readonly deferred: DeferredTable;
  readonly deadLetters: DeadLetterStore;
}
