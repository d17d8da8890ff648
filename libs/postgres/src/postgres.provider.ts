import { randomBytes } from 'node:crypto';
import { type Abilities, Alarm, backoff, type ChannelPlan, type DeadLetterStore, EventingError, type EventProvider, type OutgoingMessage, type ProviderContext, type PublishFailure, settledWithin, type Subscriber, type Subscription, type SubscriptionHandle, type WireBinding } from 'nestjs-eventing'; // prettier-ignore
import { DeadLetterTable } from './dead-letters/dead-letter.table.js';
import { DeferredTable } from './deferred/deferred.table.js';
import { Channels } from './log/channels.js';
import { EventReader } from './log/event.reader.js';
import { Housekeeping } from './log/housekeeping.js';
import { LogBounds } from './log/log.bounds.js';
import { notifiedName, WakeUps } from './log/wake.ups.js';
import { checkSchema, migrateSchema } from './migrations/migrate.js';
import { migrations } from './migrations/migrations.js';
import { connectionError, foreignCluster, hopeless, isLostConnection } from './postgres.errors.js';
import type { ResolvedLogOptions } from './postgres.options.js';
import { EventWriter } from './publish/event.writer.js';
import { PublishLanes } from './publish/publish.lanes.js';
import { PublishQueue } from './publish/publish.queue.js';
import type { Database } from './sql/database.js';
import { quotedSchema } from './sql/schema.name.js';
import type { ConnectionWatcher } from './sql/server.options.js';
import { GroupSubscription } from './subscription/group.subscription.js';
import { LeaseTable } from './subscription/lease.table.js';
import { ProcessSubscription } from './subscription/process.subscription.js';
import type { SubscriptionParts } from './subscription/subscription.parts.js';
import { checkStart, SubscriptionTable } from './subscription/subscription.table.js';
import { waitUntil } from './subscription/tracked.sources.js';
import { TransactionWriter } from './subscription/transaction.writer.js';

/** How a provider comes to its database. */
export interface DatabaseSource {
  readonly kind: 'postgres' | 'embedded';
  /** Statements that store events side by side. */
  readonly lanes: number;
  open(watcher: ConnectionWatcher): Promise<Database>;
}

/** The longest that a stopping provider waits for messages that were taken for publishing. */
const LAST_FLUSH = 5_000;
const STOP_TIMEOUT = 2_000;
const YEAR = 365 * 86_400_000;

/** Events in an append-only table. A channel is a value of its first column, a listener is a row for each partition that it reads. */
export class PostgresProvider implements EventProvider {
  readonly kind: string;
  readonly binding: WireBinding = {
    attributePrefix: 'ce_',
    contentTypeHeader: 'content-type',
    carriesTime: true,
    carriesKey: true,
  };
  readonly abilities: Abilities;
  readonly deadLetters: DeadLetterStore;
  private readonly schema: string;
  private readonly channels: Channels;
  private readonly bounds: LogBounds;
  private readonly queue: PublishLanes;
  private readonly parts: SubscriptionParts;
  private readonly wakeUps: WakeUps;
  private readonly housekeeping: Housekeeping;
  private readonly handles = new Set<SubscriptionHandle>();
  private readonly alarm = new Alarm();
  private opened: Database | undefined;
  private starting: Promise<void> | undefined;
  private stopping: Promise<void> | undefined;
  private started = false;
  /** It answers, and is not the one that the schema was filled in. */
  private foreign: EventingError | undefined;
  /** Undefined until the first attempt. */
  private connected: boolean | undefined;

  constructor(
    private readonly source: DatabaseSource,
    private readonly options: ResolvedLogOptions,
    private readonly context: ProviderContext,
  ) {
    const { service, clock, publishTimeout, topology, logger } = context;
    const { partitions, batchSize, batchBytes, leaseTime, retention, retentionInterval } = options;
    this.kind = source.kind;
    this.abilities = {
      order: 'cluster',
      durable: true,
      groups: true,
      perProcess: true,
      longestDefer: 10 * YEAR,
      replay: true,
      boundedReplay: true,
      transactions: true,
      sequencedDeadLetters: true,
      largestMessage: options.maxMessageBytes,
    };
    this.schema = quotedSchema(options.schema);
    const { schema } = this;
    const database = (): Database => this.database();
    const notified = notifiedName(options.schema);
    this.channels = new Channels(database, schema, { topology, partitions });
    const writer = new EventWriter(schema, service, notified);
    const lanes = Array.from({ length: source.lanes }, () => this.publisher());
    this.queue = new PublishLanes(
      lanes.map(
        (publisher) =>
          new PublishQueue(this.channels, {
            messages: batchSize,
            bytes: batchBytes,
            publishTimeout,
            clock,
            store: (number, targeted, messages) =>
              targeted
                ? writer.storeTargeted(this.database(), { publisher, number }, messages)
                : writer.store(this.database(), { publisher, number }, messages),
          }),
      ),
    );
    this.wakeUps = new WakeUps(database, notified);
    this.deadLetters = new DeadLetterTable(database, schema, service);
    this.bounds = new LogBounds(schema);
    const { bounds } = this;
    this.parts = {
      database,
      options,
      context,
      channels: this.channels,
      reader: new EventReader(schema),
      bounds,
      wakeUps: this.wakeUps,
      leases: new LeaseTable(database, schema, notified, leaseTime),
      table: new SubscriptionTable(database, schema, bounds, notified, options.leaseTime),
      transactions: new TransactionWriter({
        schema,
        service,
        notified,
        waitUntil: (notBefore) => waitUntil(notBefore, clock.now()),
      }),
      deferred: new DeferredTable(database, schema),
      deadLetters: this.deadLetters,
    };
    this.housekeeping = new Housekeeping(database, {
      schema,
      retention,
      interval: retentionInterval,
      leaseTime,
      clock,
      failed: (error) => logger.warn(`Old events are not deleted for now: ${connectionError(error).message}`),
    });
  }

  start(channels: readonly ChannelPlan[]): Promise<void> {
    this.starting = this.begin(channels);
    return this.starting;
  }

  publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishFailure[]> {
    return this.queue.publish(messages);
  }

  async subscribe(subscription: Subscription, subscriber: Subscriber): Promise<SubscriptionHandle> {
    checkStart(subscription.from, subscription.name);
    const handle = subscription.perProcess
      ? new ProcessSubscription(this.parts, subscription, subscriber)
      : new GroupSubscription(this.parts, subscription, subscriber);
    this.handles.add(handle);
    try {
      await handle.start();
    } catch (error) {
      this.handles.delete(handle);
      await handle.stop();
      throw error;
    }
    return {
      ...(handle instanceof ProcessSubscription && handle.ends ? { ended: handle.ended } : {}),
      pause: () => handle.pause(),
      resume: () => handle.resume(),
      lag: () => handle.lag(),
      stop: () => handle.stop().finally(() => this.handles.delete(handle)),
    };
  }

  stop(): Promise<void> {
    this.stopping ??= this.end();
    return this.stopping;
  }

  private async begin(channels: readonly ChannelPlan[]): Promise<void> {
    for (let attempt = 1; this.stopping === undefined; attempt++) {
      try {
        await this.prepare(channels.map(({ name }) => name));
        if (this.stopping !== undefined) break;
        this.started = true;
        this.housekeeping.start();
        this.up();
        return;
      } catch (error) {
        if (this.stopping !== undefined) break;
        const final = hopeless(error);
        if (final !== undefined) throw final;
        if (attempt === 1) this.down(error);
        await this.alarm.sleep(backoff(attempt, 100, 3_000));
      }
    }
    throw new EventingError('EVT_NOT_RUNNING', 'The PostgreSQL provider was stopped before it was connected.');
  }

  private async prepare(channels: readonly string[]): Promise<void> {
    this.opened ??= await this.source.open({ up: () => this.back(), down: (cause) => this.down(cause) });
    if (this.context.topology === 'create') await this.migrate(this.opened);
    else await checkSchema(this.opened, this.options.schema);
    await this.recognise(this.opened);
    await this.channels.ensure(channels);
    // Whoever only sends wants to know as well whether the database can be reached.
    await this.wakeUps.listen();
  }

  private async migrate(database: Database): Promise<void> {
    const steps = await migrateSchema(database, this.options.schema, migrations, {
      warn: (text) => this.context.logger.warn(text),
      alarm: this.alarm,
      ended: () => this.stopping !== undefined,
    });
    if (steps.length > 0) this.context.logger.log(`Schema ${this.options.schema}: ran ${steps.join(', ')}`);
  }

  /** A dump that was restored into another cluster, now or while we were away. */
  private async recognise(database: Database): Promise<void> {
    this.foreign = undefined;
    if (await this.bounds.isForeign(database)) this.foreign = foreignCluster(this.schema);
    if (this.foreign !== undefined) throw this.foreign;
  }

  private async end(): Promise<void> {
    this.alarm.wake();
    await Promise.all([...this.handles].map((handle) => handle.stop()));
    await this.queue.close(Math.min(this.context.publishTimeout, LAST_FLUSH));
    await settledWithin(this.housekeeping.stop(), STOP_TIMEOUT);
    const unlistened = settledWithin(this.wakeUps.close(), STOP_TIMEOUT);
    if (this.connected === true) await unlistened;
    await this.opened?.close();
    // A start that is under way may be opening it at this moment.
    if (this.starting !== undefined) await settledWithin(this.starting, STOP_TIMEOUT);
    await this.opened?.close();
    await unlistened;
  }

  /** Never used again, so that its numbers begin at 1. */
  private publisher(): string {
    return `${this.context.instance}:${randomBytes(4).toString('hex')}`;
  }

  private database(): Database {
    if (this.opened === undefined || (this.stopping !== undefined && !this.started))
      throw new EventingError('EVT_NOT_RUNNING', 'The PostgreSQL provider is not started.');
    if (this.foreign !== undefined && this.started) throw this.foreign;
    return this.opened;
  }

  /** A connection alone makes no start: the schema and the channels have to be there. */
  private back(): void {
    const { opened } = this;
    if (!this.started || opened === undefined) return;
    this.recognise(opened).then(
      () => this.up(),
      (error: unknown) => {
        // Lost again: the next connection asks anew. Tables that are gone are another matter, and no reason to call it away.
        if (this.foreign !== undefined) this.tell(error);
        else if (!isLostConnection(error)) this.up();
      },
    );
  }

  private up(): void {
    if (this.connected === true || this.stopping !== undefined) return;
    if (this.connected === false) this.context.logger.log('PostgreSQL can be reached again.');
    this.connected = true;
    this.queue.hurry();
    this.context.onStatus('connected');
  }

  private down(cause: unknown): void {
    if (this.connected !== false) this.tell(cause);
  }

  private tell(cause: unknown): void {
    if (this.stopping !== undefined) return;
    this.connected = false;
    const error = connectionError(cause);
    this.context.logger.warn(`${error.code}: ${error.message} Trying again until it can.`);
    this.context.onStatus('disconnected', error);
  }
}
