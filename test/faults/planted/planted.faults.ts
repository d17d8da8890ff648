import { CONNECTIONS_BROKEN, GOOD_ORDER, PROCESSES_KILLED, PROCESS_STOPPED, type Scenario } from '../scenarios.js';
import type { Planting } from '../../programs/planting.js';

/** A mistake that somebody could make in the provider, and how the scenarios show it. */
export interface PlantedFault extends Planting {
  readonly caughtBy: Scenario;
  /** What at least one violation begins with, or the failure of a scenario that never comes to its end. */
  readonly shows: string;
}

const ROOM = 'libs/kafka/src';

export const PLANTED_FAULTS: readonly PlantedFault[] = [
  {
    name: 'no commit at revocation',
    file: `${ROOM}/group.subscription`,
    instead: 'await this.positions.flush(trackers, FLUSH_TIMEOUT);',
    put: '',
    caughtBy: GOOD_ORDER,
    shows: 'repeated:',
  },
  {
    name: 'no commit at the stop',
    file: `${ROOM}/group.subscription`,
    instead: 'await settledWithin(this.positions.flush(trackers, STOP_TIMEOUT), STOP_TIMEOUT);',
    put: '',
    caughtBy: GOOD_ORDER,
    shows: 'repeated:',
  },
  {
    name: 'commit past a gap',
    file: `${ROOM}/partition.tracker`,
    instead: 'const offset = head?.offset ?? this.buffer.position;',
    put: `const offset = this.buffer.position;
      if (keyOf(offset, '') === this.confirmed) return undefined;
      return { ...this.source, offset, metadata: '' };`,
    caughtBy: PROCESSES_KILLED,
    shows: 'lost:',
  },
  {
    name: 'commits of partitions that were lost',
    file: `${ROOM}/tracked.partitions`,
    instead: 'tracker.close(); this.trackers.delete(tracker.name);',
    put: 'this.trackers.delete(tracker.name);',
    caughtBy: PROCESS_STOPPED,
    shows: 'position:',
  },
  {
    name: 'another producer at each resend',
    file: `${ROOM}/kafkajs.producer`,
    instead: 'if (this.stamps.has(batch)) return;',
    put: 'if (this.stamps.delete(batch)) this.sequences.delete(partitionKey(batch));',
    caughtBy: CONNECTIONS_BROKEN,
    shows: 'stored twice:',
  },
  {
    name: 'no drain at revocation',
    file: `${ROOM}/group.subscription`,
    instead:
      'await settledWithin(this.subscriber.revoked(sources.map(sourceName)), context.rebalanceDrain + DRAIN_SLACK);',
    put: 'void this.subscriber.revoked(sources.map(sourceName));',
    caughtBy: GOOD_ORDER,
    shows: 'repeated:',
  },
  {
    name: 'no commits at all',
    file: `${ROOM}/group.subscription`,
    instead: 'commit: (positions) => this.commit(positions),',
    put: 'commit: () => Promise.resolve(),',
    caughtBy: PROCESSES_KILLED,
    shows: 'each partition goes on',
  },
];
