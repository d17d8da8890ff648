import { appendFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BrokerRequiredError } from './broker.errors.js';
import { ScratchFolder } from './scratch-folder.js';

/** A real part which this machine cannot provide. Its tests are to be skipped; the end of the run names it. */
export interface Unavailable {
  readonly available: false;
  readonly part: string;
  readonly reason: string;
}

/** Names the file in which all workers of one run note what they could not have. */
const REPORT = 'EVENTING_MISSING_PARTS';

/** Notes that a part could not be had, or throws where `REQUIRE_BROKERS` (`all`, or names by comma) asks for it. */
export function missingPart(part: string, reason: string): Unavailable {
  if (isRequired(part)) throw new BrokerRequiredError(part, reason);
  const report = process.env[REPORT];
  // Append is atomic for a short line: workers need no lock.
  if (report) appendFileSync(report, `${part}: ${reason.replaceAll('\n', ' ')}\n`);
  else console.warn(`Not available: ${part}: ${reason}`);
  return { available: false, part, reason };
}

/** Collects the notes of one run, including its workers' (they inherit the environment), until `close()`. */
export class MissingPartsReport {
  private constructor(
    private readonly folder: ScratchFolder,
    private readonly file: string,
  ) {}

  static async open(): Promise<MissingPartsReport> {
    const folder = await ScratchFolder.create('missing');
    const file = join(folder.path, 'parts');
    process.env[REPORT] = file;
    return new MissingPartsReport(folder, file);
  }

  /** The noted lines, each once. */
  async close(): Promise<string[]> {
    delete process.env[REPORT];
    // No file: nothing was missed.
    const lines = await readFile(this.file, 'utf8').catch(() => '');
    await this.folder.remove();
    return [...new Set(lines.split('\n').filter(Boolean))];
  }
}

function isRequired(part: string): boolean {
  const required = (process.env['REQUIRE_BROKERS'] ?? '').split(',').map((name) => name.trim());
  return required.includes('all') || required.includes(part);
}
