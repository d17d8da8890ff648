/** FNV-1a over the UTF-16 units of a key, 32 bits, unsigned. Stable: a key's partition is the same in every run. */
export function hashKey(key: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < key.length; index++) {
    hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193);
  }
  return hash >>> 0;
}
