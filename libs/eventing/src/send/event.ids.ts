import { createHash, randomFillSync } from 'node:crypto';

/** Bytes of one identifier, and identifiers whose bytes are drawn at one time. */
const BYTES = 16;
const DRAWN = 256;

const codes = (digit: (byte: number) => number): Uint8Array =>
  Uint8Array.from({ length: 256 }, (_, byte) => digit(byte).toString(16).charCodeAt(0));
const HIGH = codes((byte) => byte >> 4);
const LOW = codes((byte) => byte & 15);
const DASH = '-'.charCodeAt(0);

/**
 * Random UUIDs (RFC 9562, version 4) from the source of `crypto.randomUUID`. That one's text is a chain of some twenty pieces until
 * somebody reads it, which for an event that waits in memory was half of all it took. Here it is a single piece at once.
 */
export class EventIds {
  readonly #random = new Uint8Array(DRAWN * BYTES);
  #used = this.#random.length;

  next(): string {
    const random = this.#random;
    if (this.#used === random.length) this.#draw();
    const at = this.#used;
    this.#used += BYTES;
    const high = (index: number): number => HIGH[random[at + index] as number] as number;
    const low = (index: number): number => LOW[random[at + index] as number] as number;
    // prettier-ignore
    return String.fromCharCode(
      high(0), low(0), high(1), low(1), high(2), low(2), high(3), low(3), DASH,
      high(4), low(4), high(5), low(5), DASH,
      high(6), low(6), high(7), low(7), DASH,
      high(8), low(8), high(9), low(9), DASH,
      high(10), low(10), high(11), low(11), high(12), low(12), high(13), low(13), high(14), low(14), high(15), low(15),
    );
  }

  #draw(): void {
    const random = this.#random;
    randomFillSync(random);
    this.#used = 0;
    for (let at = 0; at < random.length; at += BYTES) {
      random[at + 6] = 0x40 | ((random[at + 6] as number) & 0x0f);
      random[at + 8] = 0x80 | ((random[at + 8] as number) & 0x3f);
    }
  }
}

/**
 * The same id for the same parts, always: a UUID of version 8 (RFC 9562) made of their SHA-256. For outputs of a handling that may have
 * to be repeated.
 */
export function derivedId(...parts: readonly (string | number)[]): string {
  // As JSON, so that no two lists of parts read alike.
  const hash = createHash('sha256').update(JSON.stringify(parts)).digest();
  hash[6] = 0x80 | ((hash[6] as number) & 0x0f);
  hash[8] = 0x80 | ((hash[8] as number) & 0x3f);
  const hex = hash.toString('hex', 0, BYTES);
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
