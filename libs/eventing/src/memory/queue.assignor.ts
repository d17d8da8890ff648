/**
 * Spreads partitions over members: their numbers differ by at most one, and a partition stays with its owner wherever
 * that allows it.
 *
 * @param owners the present owner of each partition; one who is not among `members` counts as none
 * @param members in the order in which they joined
 * @returns the owner that each partition should have; all undefined without members
 */
export function assignPartitions<M>(owners: readonly (M | undefined)[], members: readonly M[]): (M | undefined)[] {
  if (members.length === 0) return owners.map(() => undefined);
  const held = new Map<M, number>(members.map((member) => [member, 0]));
  for (const owner of owners) {
    if (owner !== undefined && held.has(owner)) held.set(owner, (held.get(owner) ?? 0) + 1);
  }
  const least = Math.floor(owners.length / members.length);
  const oneMore = owners.length % members.length;
  // Whoever has most keeps most: those may have one more than the others.
  const byHeld = [...members].sort((a, b) => (held.get(b) ?? 0) - (held.get(a) ?? 0));
  const room = new Map<M, number>(byHeld.map((member, rank) => [member, rank < oneMore ? least + 1 : least]));

  const claim = (member: M | undefined): M | undefined => {
    const left = member === undefined ? 0 : (room.get(member) ?? 0);
    if (member === undefined || left === 0) return undefined;
    room.set(member, left - 1);
    return member;
  };
  const kept = owners.map(claim);
  return kept.map((member) => member ?? claim(members.find((candidate) => (room.get(candidate) ?? 0) > 0)));
}
