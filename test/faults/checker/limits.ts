import type { FaultReach } from '../../../libs/testing/src/index.js';

/** What has no exact bound, bounded. */
export interface Limits extends FaultReach {
  /** Events that one process may have in hand: a window for each partition. */
  readonly inHand: number;
}
