import { createReadStream } from 'node:fs';
import type { HistoryRecord } from './history.record.js';
import { History } from './history.js';
import { parseRecord } from './record.parser.js';

/** Characters of one line. */
const LONGEST_LINE = 64 * 1024;

/**
 * Reads the files of all processes of a run, one after the other. A last line that a kill cut off is left out.
 * @throws Error naming file and line of what is no record
 */
export async function readHistory(files: Iterable<string>): Promise<History> {
  const history = new History();
  for (const file of files) for await (const record of readRecords(file)) history.add(record);
  return history;
}

/** The records of one file, as they were written. Holds one line at a time. */
export async function* readRecords(file: string): AsyncGenerator<HistoryRecord> {
  let rest = '';
  let number = 0;
  for await (const chunk of createReadStream(file, { encoding: 'utf8', highWaterMark: LONGEST_LINE })) {
    const lines = `${rest}${String(chunk)}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) yield parseAt(file, ++number, line);
    if (rest.length > LONGEST_LINE) throw faulty(file, number + 1, `it is longer than ${LONGEST_LINE} characters`);
  }
}

function parseAt(file: string, number: number, line: string): HistoryRecord {
  try {
    return parseRecord(line);
  } catch (cause) {
    throw faulty(file, number, (cause as Error).message, cause);
  }
}

function faulty(file: string, number: number, why: string, cause?: unknown): Error {
  return new Error(`${file}:${number} is no line of a history: ${why}`, { cause });
}
