import type { Clock } from '../clock.js';
import type { DeadLetterReason } from '../dead-letters/dead-letter.js';
import type { DeadLetters } from '../dead-letters/dead-letters.js';
import type { EventingError } from '../errors/eventing.error.js';
import type { ProviderLogger } from '../provider/event-provider.js';

/** Which entries are meant: those that satisfy all that is given. */
export interface LogFilter {
  /** The event's name, or `name@version`. */
  readonly event?: string;
  /** The event's id. */
  readonly id?: string;
  readonly key?: string;
  readonly channel?: string;
  /** The name or the code of the error. */
  readonly error?: string;
  /** Stored, handled or given up at this time or later: a `Date`, or milliseconds since 1970. */
  readonly since?: Date | number;
  /** At this time or before. */
  readonly until?: Date | number;
}

/** `waiting`: not tried yet. `retrying`: refused by the broker, and tried again. `failed`: given up. */
export type SentOutcome = 'waiting' | 'retrying' | 'sent' | 'failed';

/** `handled`: its effects are committed. `failed`: it is a dead letter. */
export type HandledOutcome = 'handled' | 'failed';

export interface SentFilter extends LogFilter {
  /** A provider of the application. */
  readonly provider?: string;
  readonly outcome?: SentOutcome;
}

export interface HandledFilter extends LogFilter {
  /** A listener, or group. */
  readonly listener?: string;
  readonly outcome?: HandledOutcome;
}

export interface LogPaging {
  /** Entries of a page at most, 1 to 1000. @default 100 */
  readonly limit?: number;
  /** From the page before, with the same filter. @default the oldest */
  readonly cursor?: string;
}

export interface LogPage<Entry> {
  readonly entries: readonly Entry[];
  /** Present while there may be more. */
  readonly cursor?: string;
}

export interface LogError {
  readonly name: string;
  readonly code?: string;
  readonly message: string;
}

/** An event that was sent through an outbox. Times in milliseconds since 1970. */
export interface SentEntry {
  readonly outcome: SentOutcome;
  /** Where it goes: a provider, a channel, and for a redriven letter the one listener. */
  readonly provider: string;
  readonly channel: string;
  readonly recipient?: string;
  /** Name and version, where its headers have them. */
  readonly event?: string;
  readonly version?: number;
  readonly id: string;
  readonly key?: string;
  /** How often it was offered to the broker. */
  readonly attempts: number;
  /** Why it was not taken, the last time. */
  readonly error?: LogError;
  /** Bytes of the body. */
  readonly size: number;
  /** When its transaction began to store it. */
  readonly storedAt: number;
  /** When the broker had taken it, or it was given up. */
  readonly settledAt?: number;
}

/** An event and one listener. Times in milliseconds since 1970. */
export interface HandledEntry {
  readonly outcome: HandledOutcome;
  readonly listener: string;
  /** What is known of the event; of one that could not be read little is. */
  readonly event?: string;
  readonly version?: number;
  readonly id?: string;
  readonly source?: string;
  readonly channel?: string;
  readonly key?: string;
  /** The attempt that succeeded, or the last one. */
  readonly attempts?: number;
  /** Handled, or given up. */
  readonly at: number;
  readonly error?: LogError;
  /** The dead letter that it became. */
  readonly letter?: { readonly id: string; readonly provider: string; readonly reason: DeadLetterReason };
}

export interface ResendFilter extends LogFilter {
  /** Only what could not be sent, or only what could not be handled. @default both; with `listener` what it could not handle */
  readonly of?: 'sent' | 'handled';
  readonly listener?: string;
}

export interface ResendOptions {
  /** Entries that are sent again at most, 1 to 1000000. @default 1000 */
  readonly limit?: number;
  /** Also to listeners that are not known in this process. @default false */
  readonly force?: boolean;
  /** Only count. @default false */
  readonly dryRun?: boolean;
}

export interface ResendReport {
  /** Events that the outbox tries again, in their old places. */
  readonly sent: number;
  /** Dead letters that went to their listeners. */
  readonly handled: number;
  /** Those that are where they were. */
  readonly failed: number;
  /** Why: the first 100 of them. */
  readonly failures: readonly { readonly id: string; readonly listener: string; readonly error: EventingError }[];
  /** True where the limit was reached before the end. */
  readonly more: boolean;
}

/** What an application, or a tool, lends to its log. */
export interface EventLogHome {
  readonly service: string;
  readonly deadLetters: DeadLetters;
  readonly topology: 'create' | 'check';
  readonly clock: Clock;
  readonly logger: ProviderLogger;
  /** Whether failures that are old enough are deleted here. */
  readonly housekeeping: boolean;
}

/**
 * What was sent and what was handled, with outcome, attempts and error; and a way to send again what failed. A log is no second book: it
 * shows what outbox, inbox and dead letters keep anyway, for as long as they keep it. Give one to `forRoot({ log })`, and inject this.
 *
 * Pages are for people: oldest first within outbox, inbox and each store of dead letters. What commits while they are turned may be missed.
 */
export abstract class EventLog {
  /** For the runtime: before the first listener. Asks for nothing yet. */
  abstract open(home: EventLogHome): void;

  /**
   * What went through the outbox. What was sent without one is not here.
   * @throws EventingError EVT_INVALID_OPTIONS for a filter, limit or cursor that cannot be used; EVT_NOT_RUNNING; what the store throws
   */
  abstract sent(filter?: SentFilter, page?: LogPaging): Promise<LogPage<SentEntry>>;

  /**
   * What listeners have handled inside the inbox, and what any listener could not handle. Where others succeeded nobody has written it
   * down. With `error` or `outcome: 'failed'` only the latter. @throws as `sent`
   */
  abstract handled(filter?: HandledFilter, page?: LogPaging): Promise<LogPage<HandledEntry>>;

  /**
   * Sends again what failed: the outbox tries anew what the broker refused each time, and each dead letter goes to its one listener. It is of
   * what had failed before the call. @throws as `sent`
   */
  abstract resend(filter: ResendFilter, options?: ResendOptions): Promise<ResendReport>;

  /** Creates or changes its tables, for `eventing migrate`; needs no `open`. @returns what was done, one line each */
  migrate?(): Promise<readonly string[]>;

  /** For the runtime: after the last listener has returned. Never rejects. */
  abstract close(): Promise<void>;
}
