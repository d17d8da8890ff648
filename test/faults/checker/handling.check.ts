import { type Fault, type Handling, type History, nameOf } from '../history.js';

/**
 * Whatever is stored was handled, to its end. A key's events were handled in the order in which they are stored, judged on their
 * first handling: what a crash repeats comes again after later ones, and that is allowed.
 */
export function checkHandling({ stored, handlings, faults }: History): string[] {
  const violations: string[] = [];
  const first = new Map<string, Handling>();
  const ended = new Set<string>();
  for (const handling of handlings) {
    const name = nameOf(handling);
    const before = first.get(name);
    if (before === undefined || handling.from < before.from) first.set(name, handling);
    if (handling.to !== undefined) ended.add(name);
    else if (!wasKilled(handling, faults))
      violations.push(`unfinished: ${name} in ${handling.process}, which lived on`);
  }
  const known = new Set(stored.map(nameOf));
  for (const name of first.keys()) if (!known.has(name)) violations.push(`invented: ${name} was handled, not stored`);

  const last = new Map<string, Handling>();
  for (const record of stored) {
    const name = nameOf(record);
    const handling = first.get(name);
    if (!ended.has(name)) violations.push(`lost: ${name} is stored at ${place(record)} and was not handled`);
    if (handling === undefined) continue;
    const before = last.get(record.key);
    if (before !== undefined && handling.from < before.from) {
      violations.push(`handled out of order: ${name} in ${handling.process}, before #${before.number}`);
    } else last.set(record.key, handling);
  }
  return violations;
}

function wasKilled(handling: Handling, faults: readonly Fault[]): boolean {
  return faults.some(
    ({ kind, process, to }) => kind === 'killed' && process === handling.process && to > handling.from,
  );
}

function place({ partition, offset }: { readonly partition: number; readonly offset: number }): string {
  return `${partition}@${offset}`;
}
