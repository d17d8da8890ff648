import type { History } from '../history.js';

/** A group's position never goes back: that would be a process that writes over the next owner's. */
export function checkPositions({ commits }: History): string[] {
  const violations: string[] = [];
  const last = new Map<number, number>();
  for (const { partition, offset } of commits) {
    const before = last.get(partition) ?? -1;
    if (offset < before) violations.push(`position: partition ${partition} went back from ${before} to ${offset}`);
    last.set(partition, offset);
  }
  return violations;
}
