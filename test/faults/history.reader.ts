import { openSync, closeSync, readSync } from 'node:fs';
import { type Handling, type HistoryLine, nameOf, type Send } from './history.js';

/** Follows the file of one process while it grows. */
export class HistoryReader {
  private readonly lines: HistoryLine[] = [];
  private readonly buffer = Buffer.alloc(256 * 1024);
  private at = 0;
  private rest = '';

  constructor(
    readonly process: string,
    private readonly path: string,
  ) {}

  /** A last line that a kill cut off is left out. */
  read(): readonly HistoryLine[] {
    const file = openSync(this.path, 'r');
    for (let bytes = -1; bytes !== 0;) {
      bytes = readSync(file, this.buffer, 0, this.buffer.length, this.at);
      this.at += bytes;
      const [last = '', ...complete] = (this.rest + this.buffer.toString('latin1', 0, bytes)).split('\n').reverse();
      this.rest = last;
      for (const line of complete.reverse()) this.lines.push(JSON.parse(line) as HistoryLine);
    }
    closeSync(file);
    return this.lines;
  }

  count(kind: HistoryLine['kind']): number {
    return this.read().filter((line) => line.kind === kind).length;
  }

  sends(): Send[] {
    const sends = new Map<string, Send>();
    for (const line of this.read()) {
      if (line.kind === 'ready' || line.kind === 'started' || line.kind === 'ended') continue;
      const { key, number, at, kind } = line;
      if (kind === 'sent') sends.set(nameOf(line), { key, number, at, outcome: 'unanswered' });
      else sends.set(nameOf(line), { key, number, at: sends.get(nameOf(line))?.at ?? at, outcome: kind });
    }
    return [...sends.values()];
  }

  handlings(): Handling[] {
    const handlings: Handling[] = [];
    const open = new Map<string, number>();
    for (const line of this.read()) {
      if (line.kind === 'started') {
        const { key, number, attempt, at: from } = line;
        open.set(nameOf(line), handlings.length);
        handlings.push({ process: this.process, key, number, attempt, from, to: undefined });
      } else if (line.kind === 'ended') {
        const index = open.get(nameOf(line)) ?? -1;
        const started = handlings[index];
        if (started !== undefined) handlings[index] = { ...started, to: line.at };
      }
    }
    return handlings;
  }
}
