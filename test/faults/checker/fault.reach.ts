import type { Fault, Handling } from '../history.js';

/** What has no exact bound, bounded. Times in milliseconds; a busy machine needs some of them. */
export interface Limits {
  /** What was settled is on record with the broker at the latest so long after. */
  readonly unwritten: number;
  /** So long after the broker is back, positions are written again. */
  readonly recovery: number;
  /** So long after it was continued, a process that was stopped knows what it lost. */
  readonly awakening: number;
  /** Events that one process may have in hand: a window for each partition. */
  readonly inHand: number;
}

/** Whether the fault may have kept the broker from learning that this was handled. */
export function couldForget(fault: Fault, handling: Handling, limits: Limits): boolean {
  if (fault.process !== undefined && fault.process !== handling.process) return false;
  const after = fault.kind === 'cut off' ? limits.recovery : limits.awakening;
  return (handling.to ?? Infinity) >= fault.from - limits.unwritten && handling.from <= fault.to + after;
}

/** Whether it ran in a process that was stopped, or that had been a moment before: it may not know yet what it lost. */
export function isSleepwalk(handling: Handling, faults: readonly Fault[], { awakening }: Limits): Fault | undefined {
  return faults.find(
    ({ kind, process, from, to }) =>
      kind === 'stopped' &&
      process === handling.process &&
      (handling.to ?? Infinity) >= from &&
      handling.from <= to + awakening,
  );
}
