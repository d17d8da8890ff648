import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { HistoryRecord } from './history.record.js';
import { readHistory, readRecords } from './history.reader.js';
import { HistoryWriter } from './history.writer.js';

describe('the files of a history', () => {
  let folder: string;
  let file: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'history-'));
    file = join(folder, 'a.jsonl');
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function all(): Promise<HistoryRecord[]> {
    const records: HistoryRecord[] = [];
    for await (const record of readRecords(file)) records.push(record);
    return records;
  }

  it('are written with the time and the process, and read as they were written', async () => {
    const writer = new HistoryWriter(file, 'A', () => 7.5);
    writer.note({ kind: 'send', channel: 'c', event: 'ü1' });
    writer.note({ kind: 'fault', fault: 'cut off', what: 'postgres', from: 1, to: 2 });
    writer.close();
    expect(await all()).toEqual([
      { kind: 'send', channel: 'c', event: 'ü1', at: 7.5, process: 'A' },
      { kind: 'fault', fault: 'cut off', what: 'postgres', from: 1, to: 2 },
    ]);
  });

  it('may end in the middle of a line, where the process was killed', async () => {
    await writeFile(file, '{"kind":"row","transaction":"t"}\n{"kind":"row","tran');
    expect(await all()).toEqual([{ kind: 'row', transaction: 't' }]);
  });

  it.each([
    ['{', 'it is no JSON'],
    ['[]', 'it is no object'],
    ['{"kind":"toString"}', 'its kind "toString" is none of send, answer,'],
    ['{"kind":"row"}', 'the transaction of a "row" must be a text'],
    ['{"kind":"read","what":"all"}', 'the what of a "read" must be rows or published or effects or inbox or outbox'],
    ['{"kind":"published","channel":"c","event":"e","sequence":"1"}', 'the sequence of a "published" must be a number'],
  ])('refuse %s, with its place', async (line, why) => {
    await writeFile(file, `{"kind":"row","transaction":"t"}\n${line}\n`);
    await expect(readHistory([file])).rejects.toThrow(`${file}:2 is no line of a history: ${why}`);
  });

  it('refuse a line without an end', async () => {
    await writeFile(file, '{"kind":"row","transaction":"');
    for (let part = 0; part < 3; part++) await appendFile(file, 'x'.repeat(60_000));
    await expect(all()).rejects.toThrow('longer than 65536 characters');
  });

  it('hold a hundred thousand events', async () => {
    const line = (number: number): string =>
      `{"kind":"published","channel":"c","event":"e${number}","key":"k${number % 100}","sequence":${number}}\n`;
    await writeFile(file, Array.from({ length: 100_000 }, (_, number) => line(number)).join(''));
    const history = await readHistory([file]);
    expect([...history.events]).toHaveLength(100_000);
  });
});
