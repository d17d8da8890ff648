import { openSync, writeSync } from 'node:fs';
import { historyTime } from '../../../libs/testing/src/history/history.record.js';
import type { HistoryLine } from '../history.js';

type Unstamped<Line> = Line extends HistoryLine ? Omit<Line, 'at'> : never;

/** Notes what happens in this process, at once: what is noted survives `kill -9`. */
export class HistoryWriter {
  private readonly file: number;

  constructor(path: string) {
    this.file = openSync(path, 'a');
  }

  note(line: Unstamped<HistoryLine>): void {
    writeSync(this.file, `${JSON.stringify({ ...line, at: historyTime() })}\n`);
  }
}
