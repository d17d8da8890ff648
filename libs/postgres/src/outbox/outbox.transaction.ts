import { EventingError, type OutgoingMessage, type UnitOfWork } from 'nestjs-eventing';
import type { TransactionAdapter } from '../adapters/transaction.adapter.js';
import { encodeHeaders } from '../log/header.codec.js';
import { messageToJson } from './message.json.js';
import type { OutboxStatements } from './outbox.statements.js';

/** Messages and bytes of bodies in one INSERT at most. */
const ROWS = 500;
const BYTES = 4 * 1024 * 1024;

interface Waiting {
  readonly provider: string;
  readonly message: OutgoingMessage;
  readonly stored: () => void;
  readonly failed: (error: EventingError) => void;
}

export interface OutboxTransactionOptions {
  readonly service: string;
  readonly statements: OutboxStatements;
  /** Told of what is stored and committed. Without, nobody is, and no transaction is asked for its id. */
  readonly watch?: CommitWatch | undefined;
  readonly maxStaged: number;
}

/** Who has relays learn of what transactions have stored. */
export interface CommitWatch {
  /** The transaction of this id has stored all that it will, and commits next. */
  watch(xid: string): void;
  /** Some transaction has committed. */
  readonly committed: () => void;
}

/**
 * What is sent inside one transaction of the user's: stored by it, in call order. What is sent in one turn of the event loop, or while
 * a statement runs, is stored by one statement.
 */
export class OutboxTransaction implements UnitOfWork {
  #waiting: Waiting[] = [];
  #storing: Promise<void> | undefined;
  #ended = false;
  #failure: EventingError | undefined;
  #hasStored = false;
  #xid: string | undefined;

  constructor(
    private readonly adapter: TransactionAdapter,
    private readonly options: OutboxTransactionOptions,
  ) {}

  /**
   * Resolves when the row is stored. Rejects with EVT_OUTBOX_CLOSED after the work is over, EVT_BUFFER_FULL, or
   * EVT_TRANSACTION_FAILED.
   */
  stage(provider: string, message: OutgoingMessage): Promise<void> {
    if (this.#ended) return Promise.reject(late(message));
    const { maxStaged } = this.options;
    if (this.#waiting.length >= maxStaged) return Promise.reject(full(maxStaged));
    return new Promise((stored, failed) => {
      this.#waiting.push({ provider, message, stored, failed });
      this.#storing ??= this.#storeSoon();
    });
  }

  /** Stores what waits, and takes nothing more. @throws EventingError EVT_TRANSACTION_FAILED where any of it was not stored */
  async end(): Promise<void> {
    this.#ended = true;
    await this.#storing;
    if (this.#failure !== undefined) throw this.#failure;
    const { watch } = this.options;
    if (watch === undefined || !this.#hasStored) return;
    if (this.#xid !== undefined) watch.watch(this.#xid);
    else this.adapter.onCommit?.(watch.committed);
  }

  /** The transaction is to be rolled back: what waits is not stored. Resolves when no statement runs. */
  async abandon(cause: unknown): Promise<void> {
    this.#ended = true;
    const error = new EventingError('EVT_TRANSACTION_FAILED', 'The event was not stored: its transaction has failed.', {
      cause,
    });
    for (const { failed } of this.#waiting.splice(0)) failed(error);
    await this.#storing;
  }

  async #storeSoon(): Promise<void> {
    // After all that is ready now: quicker than a turn of the event loop.
    await new Promise<void>((resolve) => process.nextTick(resolve));
    while (this.#waiting.length > 0) await this.#store(this.#take());
    this.#storing = undefined;
  }

  async #store(batch: readonly Waiting[]): Promise<void> {
    try {
      const [only] = batch;
      if (batch.length === 1 && only !== undefined) await this.#storeOne(only);
      else await this.#storeMany(batch);
    } catch (cause) {
      const error = notStored(batch, cause);
      this.#failure ??= error;
      for (const { failed } of batch) failed(error);
      return;
    }
    for (const { stored } of batch) stored();
  }

  async #storeOne({ provider, message }: Waiting): Promise<void> {
    const { service, statements } = this.options;
    const { id, channel, key = null, headers, body, time, durable, to = null } = message;
    const values = [service, provider, id, channel, key, encodeHeaders(headers), body, String(time), durable, to];
    await this.#run(statements.storeOne(this.#identified), values);
  }

  async #storeMany(batch: readonly Waiting[]): Promise<void> {
    const { service, statements } = this.options;
    const messages = batch.map(({ provider, message }) => ({ provider, ...messageToJson(message) }));
    await this.#run(statements.storeMany(this.#identified), [service, JSON.stringify(messages)]);
  }

  get #identified(): boolean {
    return this.options.watch !== undefined && this.adapter.onCommit === undefined;
  }

  async #run(text: string, values: readonly unknown[]): Promise<void> {
    const [row] = await this.adapter(text, values);
    this.#hasStored = true;
    if (typeof row?.['xid'] === 'string') this.#xid = row['xid'];
  }

  #take(): readonly Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const { message } of this.#waiting) {
      bytes += message.body.byteLength;
      if (count > 0 && (count === ROWS || bytes > BYTES)) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }
}

function late({ channel, id }: OutgoingMessage): EventingError {
  return new EventingError(
    'EVT_OUTBOX_CLOSED',
    `The event ${id} for "${channel}" was sent after the work of its transaction was over: await sendEvent() inside of it, or send outside of it.`,
  );
}

function full(most: number): EventingError {
  return new EventingError(
    'EVT_BUFFER_FULL',
    `${most} events of one transaction wait to be stored: await some of the sends, or raise maxStaged of the outbox.`,
  );
}

function notStored(batch: readonly Waiting[], cause: unknown): EventingError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const channels = [...new Set(batch.map(({ message }) => message.channel))].slice(0, 5).join(', ');
  return new EventingError(
    'EVT_TRANSACTION_FAILED',
    `${batch.length === 1 ? 'An event' : `${batch.length} events`} for ${channels} could not be stored in the outbox: ${why}. Roll the transaction back.`,
    { cause },
  );
}
