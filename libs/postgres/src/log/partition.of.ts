/**
 * The partition of a key: FNV-1a of its UTF-8 bytes, mixed once more, modulo the partitions. Never to be changed: processes of all
 * versions must agree on where a key is.
 */
export function partitionOf(key: string, partitions: number): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < key.length; index++) {
    const unit = key.charCodeAt(index);
    if (unit > 0x7f) return mixed(hashOf(Buffer.from(key, 'utf8'))) % partitions;
    hash = Math.imul(hash ^ unit, 0x01000193);
  }
  return mixed(hash) % partitions;
}

function hashOf(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash;
}

/** FNV's low bits alone are uneven for keys that differ in one character. */
function mixed(hash: number): number {
  let mixing = hash;
  mixing = Math.imul(mixing ^ (mixing >>> 16), 0x85ebca6b);
  mixing = Math.imul(mixing ^ (mixing >>> 13), 0xc2b2ae35);
  return (mixing ^ (mixing >>> 16)) >>> 0;
}
