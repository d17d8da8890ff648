import type { SeededRandom } from '../../libs/testing/src/conformance/seeded.random.js';
import { IDLE_TRANSACTION, LEASE, SESSION, type SystemName } from './workers/worker.setup.js';

export type FaultKind =
  | 'a consumer is killed'
  | 'a producer is killed'
  | 'the relay is killed'
  | 'a consumer is stopped'
  | 'the relay is stopped'
  | 'the broker is killed'
  | 'the database is killed'
  | 'a consumer comes and another goes';

export interface PlannedFault {
  readonly kind: FaultKind;
  /** When this part of the orders that are allowed by then is begun: below 1. */
  readonly at: number;
  /** Milliseconds for which something is stopped, or away. */
  readonly length: number;
  /** Whether the next one may come while this one goes on. */
  readonly alone: boolean;
}

const KINDS: readonly FaultKind[] = [
  'a consumer is killed',
  'a producer is killed',
  'the relay is killed',
  'a consumer is stopped',
  'the relay is stopped',
  'the broker is killed',
  'the database is killed',
  'a consumer comes and another goes',
];

/** The same for the same seed: each kind about as often as any other, in any order, at any time. */
export function planFaults(random: SeededRandom, count: number, system: SystemName): PlannedFault[] {
  // There the database is the broker.
  const kinds = KINDS.filter((kind) => system !== 'postgres' || kind !== 'the broker is killed');
  const drawn: FaultKind[] = [];
  while (drawn.length < count) drawn.push(...random.shuffled(kinds));
  return drawn.slice(0, count).map((kind, index) => ({
    kind,
    at: 1 - random.next() / (index + 1),
    length: lengthOf(kind, random, system),
    alone: random.below(2) === 0,
  }));
}

function lengthOf(kind: FaultKind, random: SeededRandom, system: SystemName): number {
  const lease = system === 'kafka' && kind === 'a consumer is stopped' ? SESSION : LEASE;
  // Past the lease, and sometimes past what the database waits for.
  if (kind === 'a consumer is stopped' || kind === 'the relay is stopped')
    return lease + 500 + random.below(IDLE_TRANSACTION);
  return random.below(1_500);
}
