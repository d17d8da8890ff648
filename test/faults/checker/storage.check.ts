import { type History, nameOf } from '../history.js';

/**
 * What the broker has against what senders were told. Acknowledged: stored once. Indeterminate: at most once, since the producer
 * repeats under the same number. Refused: not at all. One key's acknowledged events are stored in the order of the calls; an
 * indeterminate one may come after later ones.
 */
export function checkStorage({ sends, stored }: History): string[] {
  const violations: string[] = [];
  const copies = new Map<string, number>();
  for (const record of stored) copies.set(nameOf(record), (copies.get(nameOf(record)) ?? 0) + 1);
  const acknowledged = new Set<string>();
  for (const send of sends) {
    const name = nameOf(send);
    const count = copies.get(name) ?? 0;
    if (send.outcome === 'acknowledged') acknowledged.add(name);
    if (send.outcome === 'acknowledged' && count === 0) violations.push(`lost: ${name} was acknowledged, not stored`);
    if (send.outcome === 'refused' && count > 0) violations.push(`refused: ${name} was refused and is stored`);
    if (send.outcome === 'unanswered') violations.push(`unanswered: the sender of ${name} was told nothing`);
    if (count > 1) violations.push(`stored twice: ${name} is stored ${count} times`);
  }
  const last = new Map<string, number>();
  for (const record of stored) {
    if (!acknowledged.has(nameOf(record))) continue;
    const before = last.get(record.key) ?? -1;
    if (record.number < before) violations.push(`stored out of order: ${nameOf(record)} after #${before}`);
    last.set(record.key, Math.max(before, record.number));
  }
  return violations;
}
