/** A value of AMQP's, as far as anybody here asks. What has no text of its own is `Opaque`. */
export type AmqpValue = null | boolean | number | string | Uint8Array | Date | Opaque;

/** A list, a map, an array or a described value: its encoding, type code included. */
export class Opaque {
  constructor(readonly bytes: Buffer) {}
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** Above this, Node's own decoder is quicker. */
const BY_HAND = 24;
/** A described value may be described again; who goes deeper wants to exhaust the stack. */
const DEEPEST = 16;

/** Reads AMQP's types and treats every byte as hostile: throws a RangeError at whatever does not fit. */
export class AmqpReader {
  constructor(
    readonly buffer: Buffer,
    public at = 0,
    readonly end: number = buffer.length,
  ) {}

  get more(): boolean {
    return this.at < this.end;
  }

  /** The code of a section, `0x73`. Throws where there is something else. */
  descriptor(): number {
    if (this.byte() !== 0x00) throw new RangeError('a section begins with a descriptor');
    const code = this.byte();
    if (code === 0x53) return this.byte();
    if (code === 0x80) {
      const [high, low] = [this.uint(), this.uint()];
      return high === 0 ? low : -1;
    }
    if (code === 0xa3 || code === 0xb3) {
      const name = this.bytes(code === 0xa3 ? this.byte() : this.uint()).toString('latin1');
      return SECTIONS.get(name) ?? -1;
    }
    throw new RangeError('a descriptor is a number or a symbol');
  }

  /** Opens a list or map: how many values follow, and where it ends. */
  compound(kind: 'list' | 'map'): { readonly count: number; readonly end: number } {
    const code = this.byte();
    if (kind === 'list' && code === 0x45) return { count: 0, end: this.at };
    const small = kind === 'list' ? 0xc0 : 0xc1;
    if (code !== small && code !== small + 0x10) throw new RangeError(`here should be a ${kind}`);
    const size = code === small ? this.byte() : this.uint();
    const end = this.at + size;
    if (end > this.end) throw new RangeError(`a ${kind} is longer than its message`);
    return { count: code === small ? this.byte() : this.uint(), end };
  }

  value(): AmqpValue {
    const start = this.at;
    const code = this.byte();
    switch (code) {
      case 0x40:
        return null;
      case 0x41:
        return true;
      case 0x42:
        return false;
      case 0x56:
        return this.byte() === 1;
      case 0x43:
      case 0x44:
        return 0;
      case 0x50:
      case 0x52:
      case 0x53:
        return this.byte();
      case 0x51:
      case 0x54:
      case 0x55:
        return (this.byte() << 24) >> 24;
      case 0x60:
        return this.bytes(2).readUInt16BE(0);
      case 0x61:
        return this.bytes(2).readInt16BE(0);
      case 0x70:
        return this.uint();
      case 0x71:
        return this.bytes(4).readInt32BE(0);
      case 0x72:
        return this.bytes(4).readFloatBE(0);
      case 0x73: {
        const point = this.uint();
        return point > 0x10ffff ? '\ufffd' : String.fromCodePoint(point);
      }
      case 0x80:
        return whole(this.bytes(8).readBigUInt64BE(0));
      case 0x81:
        return whole(this.bytes(8).readBigInt64BE(0));
      case 0x82:
        return this.bytes(8).readDoubleBE(0);
      case 0x83:
        return new Date(Number(this.bytes(8).readBigInt64BE(0)));
      case 0x98:
        return uuid(this.bytes(16).toString('hex'));
      case 0xa0:
        return Buffer.from(this.bytes(this.byte()));
      case 0xb0:
        return Buffer.from(this.bytes(this.uint()));
      case 0xa1:
        return this.text(this.byte());
      case 0xb1:
        return this.text(this.uint());
      case 0xa3:
        return this.bytes(this.byte()).toString('latin1');
      case 0xb3:
        return this.bytes(this.uint()).toString('latin1');
      default:
        this.at = start;
        this.skip();
        return new Opaque(Buffer.from(this.buffer.subarray(start, this.at)));
    }
  }

  /** Goes past one value, whatever it is. */
  skip(depth = 0): void {
    const code = this.byte();
    if (code === 0x00) {
      if (depth > DEEPEST) throw new RangeError('descriptors are nested too deep');
      this.skip(depth + 1);
      this.skip(depth + 1);
      return;
    }
    const length = FIXED[code >>> 4];
    if (length !== undefined) this.bytes(length);
    else if (code >= 0xa0) this.bytes((code >>> 4) % 2 === 0 ? this.byte() : this.uint());
    else throw new RangeError(`there is no type ${code.toString(16)}`);
  }

  bytes(length: number): Buffer {
    const from = this.at;
    if (from + length > this.end) throw new RangeError('a value is longer than its message');
    this.at = from + length;
    return this.buffer.subarray(from, this.at);
  }

  byte(): number {
    if (this.at >= this.end) throw new RangeError('a message ends too early');
    return this.buffer[this.at++] as number;
  }

  uint(): number {
    return this.bytes(4).readUInt32BE(0);
  }

  /** Text; bytes that are none are handed over as bytes. */
  private text(length: number): string | Uint8Array {
    const from = this.at;
    const to = from + length;
    if (to > this.end) throw new RangeError('a text is longer than its message');
    this.at = to;
    if (length < BY_HAND) {
      let text = '';
      let index = from;
      for (; index < to; index++) {
        const code = this.buffer[index] as number;
        if (code > 127) break;
        text += String.fromCharCode(code);
      }
      if (index === to) return text;
    }
    const bytes = this.buffer.subarray(from, to);
    try {
      return utf8.decode(bytes);
    } catch {
      return Buffer.from(bytes);
    }
  }
}

/** Bytes behind the type code, by its upper half. */
const FIXED: readonly (number | undefined)[] = [undefined, undefined, undefined, undefined, 0, 1, 2, 4, 8, 16];

const SECTIONS = new Map([
  ['amqp:header:list', 0x70],
  ['amqp:delivery-annotations:map', 0x71],
  ['amqp:message-annotations:map', 0x72],
  ['amqp:properties:list', 0x73],
  ['amqp:application-properties:map', 0x74],
  ['amqp:data:binary', 0x75],
  ['amqp:amqp-sequence:list', 0x76],
  ['amqp:amqp-value:*', 0x77],
  ['amqp:value:*', 0x77],
  ['amqp:footer:map', 0x78],
]);

/** As a number where that is exact, else its digits. */
function whole(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}

function uuid(hex: string): string {
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
