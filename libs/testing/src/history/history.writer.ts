import { closeSync, openSync, writeSync } from 'node:fs';
import { type HistoryRecord, historyTime } from './history.record.js';

type Stamp = 'at' | 'process';
/** A record without what the writer knows by itself. */
export type Unstamped<R> = R extends HistoryRecord ? Omit<R, Stamp> & Partial<Pick<R, Stamp & keyof R>> : never;

/** Those that say when it was, and in which process. The others were found when all was over, or name a process of their own. */
const STAMPED: ReadonlySet<HistoryRecord['kind']> = new Set([
  ...(['send', 'answer', 'transaction', 'started', 'ended', 'failed', 'mark'] as const),
]);

/** Notes what one process does. What is noted survives `kill -9`: a line is in the file when `note` returns. */
export class HistoryWriter {
  readonly #file: number;

  /**
   * @param path appended to; one file for each process
   * @param process what the process is called in the history, and in what is found
   * @param clock milliseconds; the same clock for all processes
   */
  constructor(
    path: string,
    private readonly process: string,
    private readonly clock: () => number = historyTime,
  ) {
    this.#file = openSync(path, 'a');
  }

  /** With the time and the process where the record is to have them and does not. */
  note(record: Unstamped<HistoryRecord>): void {
    const stamp = STAMPED.has(record.kind) ? { at: this.clock(), process: this.process } : {};
    writeSync(this.#file, `${JSON.stringify({ ...stamp, ...record })}\n`);
  }

  close(): void {
    closeSync(this.#file);
  }
}
