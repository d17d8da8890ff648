import type { IncomingRecord } from './kafka.driver.js';
import { DriverError } from './kafka.driver.js';

/** Compression in a batch's attributes → what undoes it. */
export type Decompress = (codec: number, bytes: Buffer) => Promise<Buffer>;

export interface AbortedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: number;
}

const BATCH_HEADER = 61;
const CONTROL = 0x20;
const TRANSACTIONAL = 0x10;
const LOG_APPEND_TIME = 0x08;
const CODEC = 0x07;
const NAME_CACHE = 1024;

/**
 * Reads record batches (format 2). kafkajs spends three quarters of a consumer's time in its decoder, and says nothing of
 * batches that compaction left empty, so that a reader could stand before one for ever; hence an own decoder.
 */
export class RecordDecoder {
  private buffer: Buffer = Buffer.alloc(0);
  private at = 0;
  private end = 0;
  /** Header names by a hash of their bytes: one string for all records, and so one shape for their headers. */
  private readonly names = new Map<number, { readonly bytes: Buffer; readonly name: string }>();

  constructor(private readonly decompress: Decompress) {}

  /**
   * Records from `from` on, without control records and without those of `aborted` transactions. Returns where the next
   * read begins. An incomplete batch at the end is left for that.
   */
  async decode(
    bytes: Buffer,
    from: number,
    aborted: readonly AbortedTransaction[],
    into: IncomingRecord[],
  ): Promise<number> {
    let next = from;
    let batchAt = 0;
    const open = new Set<bigint>();
    let abortedAt = 0;
    while (batchAt + BATCH_HEADER <= bytes.length) {
      const size = bytes.readInt32BE(batchAt + 8) + 12;
      if (batchAt + size > bytes.length) break;
      if (bytes[batchAt + 16] !== 2 || size < BATCH_HEADER) {
        throw new DriverError('CORRUPT_MESSAGE', `a record batch of format ${bytes[batchAt + 16]} and ${size} bytes`);
      }
      const baseOffset = Number(bytes.readBigInt64BE(batchAt));
      const attributes = bytes.readInt16BE(batchAt + 21);
      const lastOffset = baseOffset + bytes.readInt32BE(batchAt + 23);
      const producerId = bytes.readBigInt64BE(batchAt + 43);
      for (let a = aborted[abortedAt]; a !== undefined && a.firstOffset <= lastOffset; a = aborted[++abortedAt]) {
        open.add(a.producerId);
      }
      if ((attributes & CONTROL) !== 0) {
        open.delete(producerId);
      } else if ((attributes & TRANSACTIONAL) === 0 || !open.has(producerId)) {
        const codec = attributes & CODEC;
        const body = bytes.subarray(batchAt + BATCH_HEADER, batchAt + size);
        this.buffer = codec === 0 ? body : await this.decompress(codec, body);
        this.at = 0;
        this.end = this.buffer.length;
        const firstTime = Number(bytes.readBigInt64BE(batchAt + 27));
        const appendTime =
          (attributes & LOG_APPEND_TIME) !== 0 ? Number(bytes.readBigInt64BE(batchAt + 35)) : undefined;
        this.records(bytes.readInt32BE(batchAt + 57), baseOffset, firstTime, appendTime, from, into);
      }
      if (lastOffset >= next) next = lastOffset + 1;
      batchAt += size;
    }
    this.buffer = EMPTY;
    return next;
  }

  private records(
    count: number,
    baseOffset: number,
    firstTime: number,
    appendTime: number | undefined,
    from: number,
    into: IncomingRecord[],
  ): void {
    for (let index = 0; index < count; index++) {
      const length = this.varint();
      const recordEnd = this.at + length;
      if (length < 0 || recordEnd > this.end) throw corrupt();
      this.at++; // attributes, unused
      const time = appendTime ?? firstTime + this.varlong();
      if (appendTime !== undefined) this.varlong();
      const offset = baseOffset + this.varint();
      if (offset >= from) {
        const key = this.bytes(recordEnd);
        const value = this.bytes(recordEnd);
        into.push({ offset, time, key, value, headers: this.headers(recordEnd) });
      }
      this.at = recordEnd;
    }
  }

  private headers(recordEnd: number): Record<string, Uint8Array> {
    const headers: Record<string, Uint8Array> = {};
    const count = this.varint();
    for (let index = 0; index < count; index++) {
      const name = this.name(recordEnd);
      const value = this.bytes(recordEnd) ?? EMPTY;
      if (name === '__proto__') {
        Object.defineProperty(headers, name, { value, enumerable: true, configurable: true, writable: true });
      } else headers[name] = value;
    }
    return headers;
  }

  private name(recordEnd: number): string {
    const length = this.varint();
    const start = this.at;
    if (length < 0 || start + length > recordEnd) throw corrupt();
    this.at = start + length;
    const { buffer } = this;
    let hash = length;
    for (let at = start; at < start + length; at++) hash = Math.imul(hash, 31) + (buffer[at] as number);
    hash |= 0;
    const known = this.names.get(hash);
    if (known !== undefined && same(known.bytes, buffer, start)) {
      if (known.bytes.length === length) return known.name;
    }
    const bytes = Buffer.from(buffer.subarray(start, start + length));
    const name = bytes.toString('utf8');
    if (known === undefined && length <= 64 && this.names.size < NAME_CACHE) this.names.set(hash, { bytes, name });
    return name;
  }

  private bytes(recordEnd: number): Buffer | null {
    const length = this.varint();
    if (length < 0) return null;
    const start = this.at;
    if (start + length > recordEnd) throw corrupt();
    this.at = start + length;
    return this.buffer.subarray(start, start + length);
  }

  private varint(): number {
    const { buffer } = this;
    let byte = buffer[this.at++] as number;
    if (byte < 128) return (byte >>> 1) ^ -(byte & 1);
    let result = byte & 127;
    for (let shift = 7; shift < 35; shift += 7) {
      byte = buffer[this.at++] as number;
      result |= (byte & 127) << shift;
      if (byte < 128) return (result >>> 1) ^ -(result & 1);
    }
    throw corrupt();
  }

  private varlong(): number {
    let result = 0;
    let factor = 1;
    for (let index = 0; index < 10; index++) {
      const byte = this.buffer[this.at++];
      if (byte === undefined) throw corrupt();
      result += (byte & 127) * factor;
      // Exact below 2^53, and no two times are farther apart than that.
      if (byte < 128) return result % 2 === 0 ? result / 2 : -(result + 1) / 2;
      factor *= 128;
    }
    throw corrupt();
  }
}

const EMPTY = Buffer.alloc(0);

function same(known: Buffer, buffer: Buffer, start: number): boolean {
  for (let index = 0; index < known.length; index++) {
    if (known[index] !== buffer[start + index]) return false;
  }
  return true;
}

function corrupt(): DriverError {
  return new DriverError('CORRUPT_MESSAGE', 'a record batch whose lengths do not fit together');
}
