const SEED = 0x9747b28c;
const MIX = 0x5bd1e995;

/** The hash by which Java's producer places keys; a key thus has one partition whoever sends it. */
export function murmur2(key: Uint8Array): number {
  const { length } = key;
  let hash = SEED ^ length;
  let at = 0;
  for (; at + 4 <= length; at += 4) {
    let k =
      (key[at] as number) |
      ((key[at + 1] as number) << 8) |
      ((key[at + 2] as number) << 16) |
      ((key[at + 3] as number) << 24);
    k = Math.imul(k, MIX);
    k = Math.imul(k ^ (k >>> 24), MIX);
    hash = Math.imul(hash, MIX) ^ k;
  }
  const rest = length - at;
  if (rest > 0) {
    if (rest === 3) hash ^= (key[at + 2] as number) << 16;
    if (rest >= 2) hash ^= (key[at + 1] as number) << 8;
    hash = Math.imul(hash ^ (key[at] as number), MIX);
  }
  hash = Math.imul(hash ^ (hash >>> 13), MIX);
  return hash ^ (hash >>> 15);
}

const scratch = new Uint8Array(256);
const encoder = new TextEncoder();

/** The partition of a key among `partitions`, as Java's default partitioner chooses it. */
export function partitionOf(key: string | Uint8Array, partitions: number): number {
  return (murmur2(typeof key === 'string' ? bytesOf(key) : key) & 0x7fffffff) % partitions;
}

function bytesOf(key: string): Uint8Array {
  if (key.length > scratch.length / 3) return encoder.encode(key);
  return scratch.subarray(0, encoder.encodeInto(key, scratch).written);
}
