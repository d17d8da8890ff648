const SCRATCH = 16 * 1024;
/** Above this, Node's own encoder is quicker. */
const BY_HAND = 48;

/** Writes AMQP's types into one buffer that grows and is used again. */
export class AmqpWriter {
  private buffer = Buffer.allocUnsafeSlow(SCRATCH);
  at = 0;

  /** A copy of what was written, with room for `more` bytes behind it; the next message begins. */
  take(more = 0): Buffer {
    const whole = Buffer.allocUnsafe(this.at + more);
    this.buffer.copy(whole, 0, 0, this.at);
    this.at = 0;
    // What one enormous message took is given back.
    if (this.buffer.length > 64 * SCRATCH) this.buffer = Buffer.allocUnsafeSlow(SCRATCH);
    return whole;
  }

  byte(value: number): void {
    this.ensure(1);
    this.buffer[this.at++] = value;
  }

  raw(bytes: Uint8Array): void {
    this.ensure(bytes.length);
    this.buffer.set(bytes, this.at);
    this.at += bytes.length;
  }

  /** The head of a described section. */
  section(code: number): void {
    this.ensure(3);
    this.buffer[this.at++] = 0x00;
    this.buffer[this.at++] = 0x53;
    this.buffer[this.at++] = code;
  }

  null(): void {
    this.byte(0x40);
  }

  /** @returns where size and count are filled in by `end` */
  begin(type: 'list' | 'map'): number {
    this.ensure(9);
    this.buffer[this.at] = type === 'list' ? 0xd0 : 0xd1;
    this.at += 9;
    return this.at - 8;
  }

  end(begun: number, count: number): void {
    this.buffer.writeUInt32BE(this.at - begun - 4, begun);
    this.buffer.writeUInt32BE(count, begun + 4);
  }

  string(text: string): void {
    this.text(text, 0xa1, 0xb1);
  }

  symbol(text: string): void {
    this.text(text, 0xa3, 0xb3);
  }

  binary(bytes: Uint8Array): void {
    this.ensure(bytes.length + 5);
    this.head(bytes.length, 0xa0, 0xb0);
    this.buffer.set(bytes, this.at);
    this.at += bytes.length;
  }

  /** The head of a binary whose bytes follow outside of this writer. */
  binaryHead(length: number): void {
    this.ensure(5);
    this.head(length, 0xa0, 0xb0);
  }

  timestamp(ms: number): void {
    this.wide(0x83, ms);
  }

  long(value: number): void {
    this.wide(0x81, value);
  }

  private wide(code: number, value: number): void {
    this.ensure(9);
    this.buffer[this.at] = code;
    const whole = Number.isFinite(value) ? Math.trunc(value) : 0;
    this.buffer.writeInt32BE(Math.floor(whole / 2 ** 32) | 0, this.at + 1);
    this.buffer.writeUInt32BE(whole >>> 0, this.at + 5);
    this.at += 9;
  }

  private text(text: string, short: number, long: number): void {
    const { length } = text;
    this.ensure(length * 3 + 5);
    const { buffer, at } = this;
    if (length < BY_HAND) {
      let index = 0;
      for (; index < length; index++) {
        const code = text.charCodeAt(index);
        if (code > 127) break;
        buffer[at + 2 + index] = code;
      }
      if (index === length) {
        buffer[at] = short;
        buffer[at + 1] = length;
        this.at = at + 2 + length;
        return;
      }
    }
    // Five bytes of head are always valid, and the length is known only now.
    const written = buffer.write(text, at + 5, 'utf8');
    buffer[at] = long;
    buffer.writeUInt32BE(written, at + 1);
    this.at = at + 5 + written;
  }

  private head(length: number, short: number, long: number): void {
    if (length < 256) {
      this.buffer[this.at++] = short;
      this.buffer[this.at++] = length;
    } else {
      this.buffer[this.at++] = long;
      this.buffer.writeUInt32BE(length, this.at);
      this.at += 4;
    }
  }

  private ensure(more: number): void {
    if (this.at + more <= this.buffer.length) return;
    const bigger = Buffer.allocUnsafeSlow(Math.max(this.buffer.length * 2, this.at + more));
    this.buffer.copy(bigger, 0, 0, this.at);
    this.buffer = bigger;
  }
}
