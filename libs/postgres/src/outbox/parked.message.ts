import type { OutgoingMessage } from 'nestjs-eventing';

/** Which of the messages that were given up: those that have all that is named. */
export interface ParkedFilter {
  readonly provider?: string;
  readonly channel?: string;
  readonly key?: string;
  /** The event's. */
  readonly id?: string;
}

export interface ParkedQuery extends ParkedFilter {
  /** 1 to 1000. @default 100 */
  readonly limit?: number;
  /** From the page before. */
  readonly cursor?: string;
}

/** A message that the broker refused each time. */
export interface ParkedMessage {
  readonly provider: string;
  readonly message: OutgoingMessage;
  readonly attempts: number;
  /** When it was given up, milliseconds since 1970 by the clock of the database. */
  readonly failedAt: number;
  readonly error: { readonly name: string; readonly message: string; readonly code?: string };
}

export interface ParkedPage {
  readonly messages: readonly ParkedMessage[];
  /** Present while there may be more. */
  readonly cursor?: string;
}

export function parkedOf(
  row: {
    readonly provider: string;
    readonly attempts: number;
    readonly error: string | null;
    readonly failed_at: number;
  },
  message: OutgoingMessage,
): ParkedMessage {
  const { provider, attempts, failed_at: failedAt } = row;
  const error = JSON.parse(row.error ?? '{"name":"Error","message":""}') as ParkedMessage['error'];
  return { provider, message, attempts, failedAt, error };
}
