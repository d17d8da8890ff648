import { Event, type EventClass, type EventOptions } from 'nestjs-eventing';

/** The body of every event that the suite sends through the kernel. */
export class Sample {
  key!: string;
  n!: number;
  /** Who sent it, where there are several. */
  by?: string;
}

/** A new event class: each case has its own, so that none can disturb another. */
export function sampleEvent(options: EventOptions): EventClass<Sample> {
  const type = class extends Sample {};
  Object.defineProperty(type, 'name', { value: options.name ?? 'Sample' });
  Event(options)(type);
  return type;
}

/** Names an event among all those of a case. */
export function sampleId(body: Sample): string {
  return `${body.by ?? ''}/${body.key}/${body.n}`;
}

export function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

/** Groups in order of first appearance. */
export function groupBy<T>(items: readonly T[], nameOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(nameOf(item), [...(groups.get(nameOf(item)) ?? []), item]);
  return groups;
}
