import type { OutgoingRecord } from './kafka.driver.js';
import { crc32c } from './crc32c.js';

/** Who writes: what a broker recognises a repeated batch by. */
export interface BatchIdentity {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly firstSequence: number;
}

const BATCH_HEADER = 61;
const CRC_AT = 17;
const ATTRIBUTES_AT = 21;
const TRANSACTIONAL = 0x10;
const NAME_CACHE = 512;
/** Room for the lengths and counts that follow a value: they are written without asking again. */
const SLACK = 16;

/**
 * Writes record batches (format 2) into one growing buffer. kafkajs allocates half a kilobyte for each header of each record,
 * which makes encoding the greatest cost of sending; hence an own encoder.
 */
export class RecordEncoder {
  private buffer: Buffer;
  private at = 0;
  private readonly names = new Map<string, Buffer>();

  constructor() {
    this.buffer = Buffer.allocUnsafe(0);
  }

  /** Begins anew, with a buffer of its own: the one before may still be on its way to the socket. */
  begin(estimate: number): void {
    this.buffer = Buffer.allocUnsafe(Math.max(1024, estimate));
    this.at = 0;
  }

  finish(): Buffer {
    return this.buffer.subarray(0, this.at);
  }

  int16(value: number): void {
    this.ensure(2);
    this.at = this.buffer.writeInt16BE(value, this.at);
  }

  int32(value: number): void {
    this.ensure(4);
    this.at = this.buffer.writeInt32BE(value, this.at);
  }

  string(value: string): void {
    const length = Buffer.byteLength(value);
    this.int16(length);
    this.ensure(length);
    this.at += this.buffer.write(value, this.at);
  }

  /** The records of one partition, with the length before them. */
  batch(records: readonly OutgoingRecord[], identity: BatchIdentity, transactional = false): void {
    this.ensure(4 + BATCH_HEADER);
    const start = this.at + 4;
    this.at = start + BATCH_HEADER;
    let first = Infinity;
    let last = -Infinity;
    for (const { time } of records) {
      if (time < first) first = time;
      if (time > last) last = time;
    }
    for (let index = 0; index < records.length; index++) {
      const record = records[index] as OutgoingRecord;
      this.record(record, index, record.time - first);
    }
    const { buffer } = this;
    const size = this.at - start;
    buffer.writeInt32BE(size, start - 4);
    buffer.writeBigInt64BE(0n, start);
    buffer.writeInt32BE(size - 12, start + 8);
    buffer.writeInt32BE(-1, start + 12);
    buffer.writeInt8(2, start + 16);
    buffer.writeInt16BE(transactional ? TRANSACTIONAL : 0, start + ATTRIBUTES_AT);
    buffer.writeInt32BE(records.length - 1, start + 23);
    buffer.writeBigInt64BE(BigInt(first), start + 27);
    buffer.writeBigInt64BE(BigInt(last), start + 35);
    buffer.writeBigInt64BE(identity.producerId, start + 43);
    buffer.writeInt16BE(identity.producerEpoch, start + 51);
    buffer.writeInt32BE(identity.firstSequence, start + 53);
    buffer.writeInt32BE(records.length, start + 57);
    buffer.writeUInt32BE(crc32c(buffer, start + ATTRIBUTES_AT, this.at), start + CRC_AT);
  }

  private record(record: OutgoingRecord, index: number, timeDelta: number): void {
    this.ensure(64);
    // Its length comes first and is known last: leave two bytes, which fits 64 to 8191, and shift where it does not.
    const start = this.at;
    this.at += 2;
    this.buffer[this.at++] = 0;
    this.varint(timeDelta);
    this.varint(index);
    this.bytes(record.key);
    this.bytes(record.value ?? undefined);
    const { headers } = record;
    const countAt = this.at++;
    let count = 0;
    for (const name in headers) {
      this.name(name);
      this.bytes(headers[name]);
      count++;
    }
    if (count < 64) this.buffer[countAt] = count << 1;
    else this.shift(countAt, 1, count);
    this.shift(start, 2, this.at - start - 2);
  }

  /** Puts the length of what was written since into the gap left for it, moving that if the gap has the wrong width. */
  private shift(gapAt: number, gap: number, value: number): void {
    const width = value < 64 ? 1 : value < 8192 ? 2 : value < 1_048_576 ? 3 : value < 134_217_728 ? 4 : 5;
    if (width !== gap) {
      this.ensure(4);
      this.buffer.copyWithin(gapAt + width, gapAt + gap, this.at);
      this.at += width - gap;
    }
    const end = this.at;
    this.at = gapAt;
    this.varint(value);
    this.at = end;
  }

  private name(name: string): void {
    let encoded = this.names.get(name);
    if (encoded === undefined) {
      const bytes = Buffer.from(name);
      encoded = bytes;
      if (this.names.size < NAME_CACHE) this.names.set(name, bytes);
    }
    this.bytes(encoded);
  }

  private bytes(value: string | Uint8Array | undefined): void {
    if (value === undefined) {
      this.ensure(SLACK);
      this.buffer[this.at++] = 1;
    } else if (typeof value === 'string') {
      this.text(value);
    } else {
      const { length } = value;
      this.ensure(length + SLACK);
      this.varint(length);
      this.buffer.set(value, this.at);
      this.at += length;
    }
  }

  private text(value: string): void {
    const { length } = value;
    this.ensure(length * 3 + SLACK);
    const { buffer } = this;
    const start = this.at;
    if (length < 48) {
      // Most header values are short and ASCII: cheaper here than a call into the runtime.
      let at = start + 1;
      for (let index = 0; index < length; index++) {
        const code = value.charCodeAt(index);
        if (code > 127) break;
        buffer[at++] = code;
      }
      if (at - start - 1 === length) {
        buffer[start] = length << 1;
        this.at = at;
        return;
      }
    }
    this.at = start + 2 + buffer.write(value, start + 2);
    this.shift(start, 2, this.at - start - 2);
  }

  /** Zigzag; numbers beyond 32 bits (times far apart) too. */
  private varint(value: number): void {
    if (value > 1_073_741_823 || value < -1_073_741_824) {
      this.varlong(BigInt(value));
      return;
    }
    let rest = ((value << 1) ^ (value >> 31)) >>> 0;
    while (rest > 127) {
      this.buffer[this.at++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    this.buffer[this.at++] = rest;
  }

  private varlong(value: bigint): void {
    let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
    while (rest > 127n) {
      this.buffer[this.at++] = Number(rest & 127n) | 128;
      rest >>= 7n;
    }
    this.buffer[this.at++] = Number(rest);
  }

  private ensure(bytes: number): void {
    const needed = this.at + bytes;
    if (needed <= this.buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed + 1024, this.buffer.length * 2));
    this.buffer.copy(larger, 0, 0, this.at);
    this.buffer = larger;
  }
}
