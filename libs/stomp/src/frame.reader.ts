/** A frame as it came. */
export interface Frame {
  readonly command: string;
  /** Header lines, not yet unescaped, without the last line break. */
  readonly head: string;
  readonly body: Buffer;
}

export interface FrameSink {
  frame(frame: Frame): void;
  /** A frame was too large; its body of so many bytes was let pass. */
  oversized(command: string, head: string, bytes: number): void;
}

/** What came is no STOMP, or hostile. */
export class FrameError extends Error {
  override readonly name = 'FrameError';
}

const MAX_HEAD = 1024 * 1024;
const LF = 10;
const CR = 13;
const END = Buffer.from('\n\n');
const END_CRLF = Buffer.from('\n\r\n');
const LENGTH = /(?:^|\n)content-length:([^\n]*)/;
const NOTHING = Buffer.alloc(0);

/**
 * Takes a stream apart into frames. Bytes are looked at in the runtime's own loops, not one by one, and what is held is bounded:
 * a body above `maxFrameBytes` is let pass without being kept.
 */
export class FrameReader {
  private rest: Buffer = NOTHING;
  /** A body that is longer than what has come of it. */
  private body: { readonly command: string; readonly head: string; readonly bytes: Buffer; filled: number } | undefined;
  /** Bytes of a body to let pass; -1: up to the next zero. */
  private passing: { readonly command: string; readonly head: string; left: number; passed: number } | undefined;

  constructor(
    private readonly maxFrameBytes: number,
    private readonly sink: FrameSink,
  ) {}

  /** Throws a FrameError where it cannot go on. */
  push(chunk: Buffer): void {
    let at = 0;
    if (this.body !== undefined) at = this.fill(chunk, 0);
    else if (this.passing !== undefined) at = this.pass(chunk, 0);
    else if (this.rest.length > 0) {
      chunk = Buffer.concat([this.rest, chunk]);
      this.rest = NOTHING;
    }
    while (at < chunk.length) {
      const next = this.read(chunk, at);
      if (next === undefined) break;
      at = next;
    }
  }

  /** Reads one frame; undefined where it is not complete. */
  private read(chunk: Buffer, from: number): number | undefined {
    let start = from;
    // Line breaks between frames are signs of life.
    while (chunk[start] === LF || chunk[start] === CR) start++;
    if (start === chunk.length) return start;
    const commandEnd = chunk.indexOf(LF, start);
    const crlf = commandEnd > 0 && chunk[commandEnd - 1] === CR;
    const headEnd = commandEnd < 0 ? -1 : chunk.indexOf(crlf ? END_CRLF : END, commandEnd);
    if (headEnd < 0) {
      if (chunk.length - start > MAX_HEAD) throw new FrameError(`a frame has more than ${MAX_HEAD} bytes of headers`);
      this.rest = chunk.subarray(start);
      return undefined;
    }
    const bodyStart = headEnd + (crlf ? 3 : 2);
    const text = chunk.toString('utf8', commandEnd + 1, headEnd);
    const command = chunk.toString('latin1', start, crlf ? commandEnd - 1 : commandEnd);
    const head = crlf ? text.replaceAll('\r', '') : text;
    const declared = LENGTH.exec(head)?.[1];
    return declared === undefined
      ? this.untilZero(chunk, start, bodyStart, command, head)
      : this.counted(chunk, bodyStart, command, head, declared);
  }

  private counted(chunk: Buffer, bodyStart: number, command: string, head: string, declared: string): number {
    if (!/^\d{1,10}$/.test(declared)) throw new FrameError('a frame has a content-length that is no length');
    const length = Number(declared);
    const end = bodyStart + length;
    if (length > this.maxFrameBytes) {
      this.passing = { command, head, left: length + 1, passed: length };
      return this.pass(chunk, bodyStart);
    }
    if (end < chunk.length) {
      if (chunk[end] !== 0) throw new FrameError('a frame is longer than its content-length');
      this.sink.frame({ command, head, body: chunk.subarray(bodyStart, end) });
      return end + 1;
    }
    // Its zero goes into the buffer too.
    this.body = { command, head, bytes: Buffer.allocUnsafe(length + 1), filled: 0 };
    return this.fill(chunk, bodyStart);
  }

  private untilZero(
    chunk: Buffer,
    start: number,
    bodyStart: number,
    command: string,
    head: string,
  ): number | undefined {
    const end = chunk.indexOf(0, bodyStart);
    if (end - bodyStart > this.maxFrameBytes) {
      this.sink.oversized(command, head, end - bodyStart);
      return end + 1;
    }
    if (end >= 0) {
      this.sink.frame({ command, head, body: chunk.subarray(bodyStart, end) });
      return end + 1;
    }
    if (chunk.length - bodyStart <= this.maxFrameBytes) {
      this.rest = chunk.subarray(start);
      return undefined;
    }
    this.passing = { command, head, left: -1, passed: 0 };
    return this.pass(chunk, bodyStart);
  }

  private fill(chunk: Buffer, from: number): number {
    const { body } = this;
    if (body === undefined) return from;
    const taken = chunk.copy(body.bytes, body.filled, from);
    body.filled += taken;
    if (body.filled === body.bytes.length) {
      this.body = undefined;
      const last = body.bytes.length - 1;
      if (body.bytes[last] !== 0) throw new FrameError('a frame is longer than its content-length');
      this.sink.frame({ command: body.command, head: body.head, body: body.bytes.subarray(0, last) });
    }
    return from + taken;
  }

  private pass(chunk: Buffer, from: number): number {
    const { passing } = this;
    if (passing === undefined) return from;
    let end: number;
    if (passing.left < 0) {
      const zero = chunk.indexOf(0, from);
      end = zero < 0 ? chunk.length : zero + 1;
      passing.passed += end - from;
      if (zero < 0) return end;
    } else {
      end = Math.min(chunk.length, from + passing.left);
      passing.left -= end - from;
      if (passing.left > 0) return end;
    }
    this.passing = undefined;
    this.sink.oversized(passing.command, passing.head, passing.passed);
    return end;
  }
}

const ESCAPED = /\\([\s\S])/g;

/** Undoes STOMP 1.2's escapes. What is none of them stays as it is. */
export function unescapeHeader(text: string): string {
  if (!text.includes('\\')) return text;
  return text.replace(ESCAPED, (whole, char: string) =>
    char === 'c' ? ':' : char === 'n' ? '\n' : char === 'r' ? '\r' : char === '\\' ? '\\' : whole,
  );
}

/** Calls `each` with the lines of a head, still escaped. Lines without a colon are passed over. */
export function eachHeader(head: string, each: (name: string, value: string) => void): void {
  for (let at = 0; at < head.length;) {
    const end = head.indexOf('\n', at);
    const stop = end < 0 ? head.length : end;
    const colon = head.indexOf(':', at);
    if (colon >= 0 && colon < stop) each(head.slice(at, colon), head.slice(colon + 1, stop));
    at = stop + 1;
  }
}

/** The first value of one header. */
export function headerOf(head: string, name: string): string | undefined {
  const line = `${name}:`;
  const at = head.startsWith(line) ? 0 : head.indexOf(`\n${line}`) + 1;
  if (at === 0 && !head.startsWith(line)) return undefined;
  const end = head.indexOf('\n', at);
  return unescapeHeader(head.slice(at + line.length, end < 0 ? head.length : end));
}
