import type { KafkaAccess } from './kafka-options.js';

/** A real Kafka for tests. Where it is not `owned`, everything but `close` throws a NotOwnedError. */
export interface KafkaBroker {
  readonly available: true;
  readonly source: 'environment' | 'java' | 'docker';
  /** Whether tests may kill it. */
  readonly owned: boolean;
  /** What a client needs to connect: `new Kafka({ ...broker.access })`. */
  readonly access: KafkaAccess;

  /** SIGKILL, as in a crash; the data stay. */
  kill(): Promise<void>;
  /** A clean shutdown; the data stay. */
  stop(): Promise<void>;
  /** On the same port with the same data, whether it was killed, stopped or is running. */
  restart(): Promise<void>;
  /** Restarts it on the same port without its topics. */
  wipe(): Promise<void>;
  /** SIGSTOP: connections stay open and nobody answers. */
  suspend(): Promise<void>;
  resume(): Promise<void>;
  /** The end: broker and data are removed. Leaves alone what is not owned. */
  close(): Promise<void>;
}
