import type { FaultRecord } from './history.record.js';
import type { Handling } from './history.js';

/** How far a fault reaches, where there is no exact bound. Times in milliseconds; a busy machine needs some of them. */
export interface FaultReach {
  /** What was settled is on record with the broker at the latest so long after. @default 5_000 */
  readonly unwritten: number;
  /** So long after what was cut off is back, everything is written down again. @default 20_000 */
  readonly recovery: number;
  /** So long after it was continued, a process that was stopped knows what it lost. @default 10_000 */
  readonly awakening: number;
}

export const DEFAULT_REACH: FaultReach = { unwritten: 5_000, recovery: 20_000, awakening: 10_000 };

type Doing = Pick<Handling, 'process' | 'from' | 'to'>;

/** Whether the fault may have kept broker or database from learning that this was handled. */
export function couldForget(fault: FaultRecord, handling: Doing, reach: FaultReach): boolean {
  if (fault.process !== undefined && fault.process !== handling.process) return false;
  const after = fault.fault === 'cut off' ? reach.recovery : reach.awakening;
  return (handling.to ?? Infinity) >= fault.from - reach.unwritten && handling.from <= fault.to + after;
}

/** The fault by which it ran in a process that was stopped, or that had been a moment before: it may not know yet what it lost. */
export function sleepwalkOf(
  { process, from, to }: Doing,
  faults: readonly FaultRecord[],
  { awakening }: FaultReach,
): FaultRecord | undefined {
  return faults.find(
    (fault) =>
      fault.fault === 'stopped' &&
      (fault.process ?? process) === process &&
      (to ?? Infinity) >= fault.from &&
      from <= fault.to + awakening,
  );
}

/** Whether its process was killed while it ran. */
export function killOf({ process, from }: Doing, faults: readonly FaultRecord[]): FaultRecord | undefined {
  return faults.find((fault) => fault.fault === 'killed' && (fault.process ?? process) === process && fault.to > from);
}
