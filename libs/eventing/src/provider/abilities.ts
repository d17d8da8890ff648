/** What a provider can do: data, pessimistic, known before it connects. What it cannot do is refused at start. */
export interface Abilities {
  /**
   * How far key order reaches. `none`: messages of a key may overtake each other. `process`: not within one process.
   * `cluster`: never, over all the processes of a subscription.
   */
  readonly order: 'none' | 'process' | 'cluster';
  /** Messages and positions outlive the broker's restart. `process`: they outlive the listener, not the process. */
  readonly durable: boolean | 'process';
  /** The same subscription in several processes competes. */
  readonly groups: boolean;
  /** Each process can have its own copy. */
  readonly perProcess: boolean;
  /** Longest time in milliseconds for which the provider itself keeps a deferred message; 0: the kernel holds it. */
  readonly longestDefer: number;
  /** A subscription can begin in the past. */
  readonly replay: boolean;
  /** And it can end where the present began, so that listeners can be replayed: see `Subscription.until`. @default false */
  readonly boundedReplay?: boolean;
  /** Consume, publish and settle in one transaction, for subscriptions that ask for it: see `Subscription.transactional`. */
  readonly transactions: boolean;
  /**
   * Of `transactions`: what is accepted, and its outputs, stays in memory until all before it in its source is settled. Then the kernel
   * bounds how much it is: see `receive/output.allowance.ts`. @default false
   */
  readonly gathersOutputs?: boolean;
  /** Dead letters are kept where all processes see them in order: the store has `sequences`. @default false */
  readonly sequencedDeadLetters?: boolean;
  /** Bytes of the largest body. */
  readonly largestMessage: number;
}
