import type { ProviderFactory } from 'nestjs-eventing';

/** Where the suite runs: a provider, the broker behind it, and what can be done to them. Written by whoever tests a provider. */
export interface ConformanceEnvironment {
  /** Short name for people: `memory`, `kafka`. */
  readonly name: string;

  /**
   * A broker area for one case. It may be the same broker each time: services, channels and instances have names that no
   * other case uses.
   */
  open(): Promise<ConformanceCluster>;

  /** Milliseconds for which a case waits for what must happen: rebalances and reconnects included. @default 10000 */
  readonly patience?: number;
  /**
   * Milliseconds in which a message that nothing holds up surely arrives. Where a case shows that something does not happen,
   * it looks for so long. Too short hides faults, it never makes them up. @default 200
   */
  readonly silence?: number;
  readonly traits?: ConformanceTraits;
  /** Cases that this environment cannot stand, by id, each with its reason. They are reported as skipped. @default none */
  readonly exceptions?: Readonly<Record<string, string>>;
}

/** What differs between brokers and is no ability that a listener could ask for. */
export interface ConformanceTraits {
  /** A delivery that comes back after a crash has an attempt above 1. @default false */
  readonly countsCrashes?: boolean;
  /** What was accepted behind a message that was not comes back with it after a crash. @default true */
  readonly repeatsBeyondGap?: boolean;
  /** What was settled just before its source moved in good order may come again to the new owner. @default true */
  readonly repeatsOnMove?: boolean;
  /** A log: the window counts from the oldest message not settled, whatever was settled behind it. @default false */
  readonly windowCountsFromGap?: boolean;
  /** Sources move to a process that joins, so that it has a share at once. @default false */
  readonly movesSources?: boolean;
  /** Milliseconds after which a process that has stopped showing signs of life loses its messages. @default none */
  readonly ownershipTimeout?: number;
}

/** One broker area. What is optional is a fault that this environment can bring about: cases that need one are skipped without. */
export interface ConformanceCluster {
  /** A recipe for one process of this name. */
  provider(instance: string): ProviderFactory;
  /** The case is over, and every provider stopped. */
  close(): Promise<void>;

  /** The process behind this instance dies: it settles nothing, leaves no group, says no goodbye. It never comes back. */
  crash?(instance: string): void | Promise<void>;
  /** The broker cannot be reached by anybody, until `connect()`. */
  disconnect?(): void | Promise<void>;
  connect?(): void | Promise<void>;
  /** The broker refuses every message to this channel from now on, and takes others of the same batch. */
  makePublishFail?(channel: string): void | Promise<void>;
  /** The broker takes no dead letter of this service, until the function returned is called. */
  makeDeadLettersFail?(service: string): MendDeadLetters | Promise<MendDeadLetters>;
  /** Names of all queues, groups and the like that the broker keeps for subscriptions. */
  remains?(): Promise<readonly string[]>;
}

export type MendDeadLetters = () => void | Promise<void>;

/** The optional members of a cluster. */
export type ConformanceHook = {
  [Name in keyof ConformanceCluster]-?: undefined extends ConformanceCluster[Name] ? Name : never;
}[keyof ConformanceCluster];
