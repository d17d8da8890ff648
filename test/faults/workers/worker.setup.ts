/** What the tests tell a worker, as the one argument of its command line. */
export interface WorkerSetup {
  readonly brokers: readonly string[];
  readonly service: string;
  readonly channel: string;
  /** The file for what happens. */
  readonly history: string;
  readonly seed: number;
  /** Milliseconds. */
  readonly publishTimeout: number;
  /** The sender's connections break. */
  readonly brittle: boolean;
}

/** Milliseconds without a heartbeat after which a process counts as dead. */
export const SESSION_TIMEOUT = 6_000;
/** Milliseconds for which what is settled may wait to be written down. */
export const COMMIT_INTERVAL = 100;
export const PARTITIONS = 6;
/** Events of one partition that are delivered and not settled. */
export const WINDOW = 64;
