import type { Socket } from 'node:net';
import type { Connection, Session } from 'rhea';

/**
 * What this room uses of rhea 3.0 beyond its types; `rhea.internals.spec.ts` holds it to them. rhea's own way for a delivery
 * decodes every message with a decoder that throws on foreign ones, which ends the connection, keeps each delivery in a ring of
 * 2,048 until all before it are settled, so that one slow listener stops all others, and writes one frame for each confirmation.
 */
export interface SessionInternals {
  on_transfer(frame: TransferFrame): void;
  on_disposition(frame: DispositionFrame): void;
  output(performative: unknown): void;
  readonly incoming: { next_transfer_id: number; max_transfer_id: number };
  readonly outgoing: {
    readonly next_delivery_id: number;
    readonly next_pending_delivery: number;
    readonly deliveries: { available(): number; by_id(id: number): OutgoingDelivery | undefined };
  };
}

export interface OutgoingDelivery {
  readonly id: number;
  readonly link: object;
  settled: boolean;
  remote_settled: boolean;
}

export interface TransferFrame {
  readonly performative: {
    readonly delivery_id?: number | null;
    readonly settled?: boolean | null;
    readonly more?: boolean | null;
    readonly aborted?: boolean | null;
  };
  readonly payload?: Buffer;
}

export interface DispositionFrame {
  readonly performative: {
    readonly first: number;
    readonly last?: number | null;
    readonly settled?: boolean | null;
    /** A described list as it was read: of `rejected`, the first field is the error. */
    readonly state?: DescribedState | null;
  };
}

export interface DescribedState {
  readonly descriptor?: { readonly value: unknown };
  readonly value?: unknown;
}

export interface ReceiverInternals {
  credit: number;
  delivery_count: number;
  drain: boolean;
}

export interface ConnectionInternals {
  readonly socket: Socket;
  readonly local: { readonly open: { idle_time_out: number | undefined } };
  heartbeat_in: NodeJS.Timeout | undefined;
  _register(): void;
  create_session(): Session;
}

export function internalsOf(session: Session): SessionInternals {
  return session as unknown as SessionInternals;
}

export function connectionInternals(connection: Connection): ConnectionInternals {
  return connection as unknown as ConnectionInternals;
}
