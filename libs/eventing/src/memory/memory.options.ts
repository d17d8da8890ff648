import { type Clock, systemClock } from '../clock.js';
import { EventingError } from '../errors/eventing.error.js';
import type { MemoryBroker } from './memory.broker.js';

/** How large a `MemoryBroker` may grow, and the time it lives in. Everything is checked when it is made. */
export interface MemoryBrokerOptions {
  /**
   * Partitions of each channel: how far a subscription can be spread over instances. A key always has the same one.
   * @default 16
   */
  readonly partitions?: number;
  /**
   * Messages that one subscription may have open on a channel (waiting, being handled, or deferred). A full one refuses
   * what is published: the send is rejected with EVT_PUBLISH_FAILED, it never blocks.
   * @default 100_000
   */
  readonly capacity?: number;
  /**
   * The same bound in bytes of bodies. At least `largestMessage`.
   * @default 268_435_456 (256 MiB)
   */
  readonly capacityBytes?: number;
  /**
   * Latest messages of each channel that are kept for subscriptions that begin in the past; the oldest go first. 0: none,
   * and such subscriptions are refused at start.
   * @default 256
   */
  readonly retain?: number;
  /**
   * The same bound in bytes of bodies.
   * @default 16_777_216 (16 MiB)
   */
  readonly retainBytes?: number;
  /**
   * Dead letters of one service. A full store takes no more: the message stays unsettled, nothing is lost.
   * @default 100_000
   */
  readonly deadLetterCapacity?: number;
  /**
   * Bytes of the largest body.
   * @default 16_777_216 (16 MiB)
   */
  readonly largestMessage?: number;
  /**
   * Times stored messages and waits for deferred ones. An application's own broker takes the application's clock.
   * @default systemClock
   */
  readonly clock?: Clock;
}

/** Options of `memory()`: either a broker that is shared, or the bounds of the application's own. */
export interface MemoryOptions extends MemoryBrokerOptions {
  /**
   * The broker to connect to, so that several applications of one process (services, instances of one service) exchange
   * events. Its bounds are its own: no other option may be given beside it.
   * @default a broker for this application alone
   */
  readonly broker?: MemoryBroker;
}

/** @internal */
export type ResolvedBrokerOptions = Required<MemoryBrokerOptions>;

const DEFAULTS: ResolvedBrokerOptions = {
  partitions: 16,
  capacity: 100_000,
  capacityBytes: 256 * 1024 * 1024,
  retain: 256,
  retainBytes: 16 * 1024 * 1024,
  deadLetterCapacity: 100_000,
  largestMessage: 16 * 1024 * 1024,
  clock: systemClock,
};

const LEAST = {
  partitions: 1,
  capacity: 1,
  capacityBytes: 1,
  retain: 0,
  retainBytes: 0,
  deadLetterCapacity: 1,
  largestMessage: 1,
};

/** @internal Throws EVT_INVALID_OPTIONS, naming every option at fault. */
export function resolveBrokerOptions(options: MemoryBrokerOptions): ResolvedBrokerOptions {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const resolved: ResolvedBrokerOptions = { ...DEFAULTS, ...given };
  const wrong: string[] = [];
  for (const name of Object.keys(given)) if (!(name in DEFAULTS)) wrong.push(`there is no option "${name}"`);
  for (const [name, least] of Object.entries(LEAST)) {
    const value: unknown = resolved[name as keyof typeof LEAST];
    if (!Number.isSafeInteger(value) || (value as number) < least) {
      wrong.push(`${name} must be a whole number of at least ${least}, not ${String(value)}`);
    }
  }
  if (resolved.capacityBytes < resolved.largestMessage) {
    wrong.push(
      `capacityBytes (${resolved.capacityBytes}) must be at least largestMessage (${resolved.largestMessage}), ` +
        'or the largest message would never fit',
    );
  }
  if (wrong.length > 0) throw new EventingError('EVT_INVALID_OPTIONS', `memory(): ${wrong.join('; ')}`);
  return resolved;
}
