/** What tests may do to a real broker. Where it is not `owned`, everything but `close` throws a NotOwnedError. */
export interface Broker {
  readonly available: true;
  readonly source: 'environment' | 'machine' | 'docker';
  /** Whether tests may kill it. */
  readonly owned: boolean;

  /** SIGKILL, as in a crash; the data stay. */
  kill(): Promise<void>;
  /** A clean shutdown; the data stay. */
  stop(): Promise<void>;
  /** On the same ports with the same data, whether it was killed, stopped or is running. */
  restart(): Promise<void>;
  /** Restarts it on the same ports without its data. */
  wipe(): Promise<void>;
  /** SIGSTOP: connections stay open and nobody answers. */
  suspend(): Promise<void>;
  resume(): Promise<void>;
  /** The end: broker and data are removed. Leaves alone what is not owned. */
  close(): Promise<void>;
}
