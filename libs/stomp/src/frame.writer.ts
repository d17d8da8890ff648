const LEAST = 64 * 1024;
const SPECIAL = /[\\\r\n:]/;
const ALL_SPECIAL = /[\\\r\n:]/g;
const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\r': '\\r', '\n': '\\n', ':': '\\c' };

/** As STOMP 1.2 writes names and values of headers. */
export function escapeHeader(text: string): string {
  return SPECIAL.test(text) ? text.replace(ALL_SPECIAL, (char) => ESCAPES[char] as string) : text;
}

/** A header line. */
export function header(name: string, value: string): string {
  return `${escapeHeader(name)}:${escapeHeader(value)}\n`;
}

/** Puts frames one behind the other, so that many leave in one write. */
export class FrameWriter {
  private buffer: Buffer = Buffer.alloc(0);
  private at = 0;

  get bytes(): number {
    return this.at;
  }

  /** @param head command and header lines, each with its line break */
  frame(head: string, body?: Uint8Array): void {
    const length = body?.byteLength ?? 0;
    // No character of UTF-16 is longer than three bytes of UTF-8.
    this.ensure(head.length * 3 + length + 2);
    this.at += this.buffer.write(head, this.at);
    this.buffer[this.at++] = 10;
    if (body !== undefined) {
      this.buffer.set(body, this.at);
      this.at += length;
    }
    this.buffer[this.at++] = 0;
  }

  /** What was written since the last time. */
  take(): Buffer {
    const taken = this.buffer.subarray(0, this.at);
    // What is left of it can be used as long as nothing is written twice.
    this.buffer = this.buffer.subarray(this.at);
    this.at = 0;
    return taken;
  }

  private ensure(bytes: number): void {
    if (this.at + bytes <= this.buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max((this.at + bytes) * 2, LEAST));
    this.buffer.copy(larger, 0, 0, this.at);
    this.buffer = larger;
  }
}
