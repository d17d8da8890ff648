export type SystemName = 'postgres' | 'rabbitmq' | 'kafka';

/** What the run tells a worker, as the one argument of its command line. */
export interface WorkerSetup {
  readonly system: SystemName;
  /** Of the database, and of the broker beside it: an address for RabbitMQ, several with commas for Kafka. */
  readonly database: string;
  readonly broker: string;
  /** What it is called in the history. */
  readonly name: string;
  /** The file for what happens. */
  readonly history: string;
  readonly seed: number;
  /** Milliseconds between two transactions of one lane of a producer. */
  readonly pause: number;
}

/** Of the service, and of its listeners as an inbox and the history have them. */
export const SERVICE = 'shop';
export const CHARGE = `${SERVICE}.Charge`;
export const SETTLE = `${SERVICE}.Settle`;

/** Milliseconds without a sign of life after which a process loses what it has: its partitions, and the right to relay. */
export const LEASE = 2_000;
/** Of Kafka, whose sessions are no shorter on a busy machine. */
export const SESSION = 6_000;
/** Milliseconds after which the database ends a transaction that does nothing: its process may be stopped. */
export const IDLE_TRANSACTION = 4_000;
