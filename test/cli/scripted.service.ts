import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommand } from '../../libs/cli/src/run.command.js';

/** What a letter of `scripted.config.mjs` says; the body as text, a character a byte. */
export interface ScriptedLetter {
  readonly id: string;
  readonly listener: string;
  readonly reason: string;
  readonly error: { readonly name: string; readonly code?: string; readonly message: string; readonly stack?: string };
  readonly deadAt: number;
  readonly event?: { readonly name: string; readonly version: number; readonly id: string };
  readonly key?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A folder with `eventing.config.mjs` and its letters, and the command run in it. */
export class ScriptedService {
  private constructor(readonly folder: string) {}

  static async open(letters: readonly ScriptedLetter[], parent = tmpdir()): Promise<ScriptedService> {
    const folder = await mkdtemp(join(parent, 'eventing-cli-'));
    await copyFile(join(import.meta.dirname, 'scripted.config.mjs'), join(folder, 'eventing.config.mjs'));
    const service = new ScriptedService(folder);
    await service.write('letters.json', letters);
    return service;
  }

  write(file: string, value: unknown): Promise<void> {
    return writeFile(join(this.folder, file), typeof value === 'string' ? value : JSON.stringify(value));
  }

  /** Ids of the letters that are there. */
  async letters(): Promise<string[]> {
    const letters = JSON.parse(await readFile(join(this.folder, 'letters.json'), 'utf8')) as ScriptedLetter[];
    return letters.map(({ id }) => id);
  }

  /** What was sent, and to whom. */
  async sent(): Promise<unknown[]> {
    return JSON.parse(await readFile(join(this.folder, 'sent.json'), 'utf8').catch(() => '[]')) as unknown[];
  }

  /** What the log was asked. */
  async asked(): Promise<unknown[]> {
    return JSON.parse(await readFile(join(this.folder, 'asked.json'), 'utf8').catch(() => '[]')) as unknown[];
  }

  /** In this process. */
  async run(...args: readonly string[]): Promise<Ended> {
    let out = '';
    let err = '';
    const code = await runCommand(args, {
      folder: this.folder,
      out: (text) => void (out += text),
      err: (text) => void (err += text),
      width: 140,
    });
    return { code, out, err };
  }

  close(): Promise<void> {
    return rm(this.folder, { recursive: true, force: true });
  }
}

export function letter(parts: Partial<ScriptedLetter> & { readonly id: string }): ScriptedLetter {
  return {
    listener: 'SendReceipt',
    reason: 'failed',
    error: { name: 'CardRefused', message: 'the card was refused' },
    deadAt: Date.UTC(2026, 10, 20, 12),
    event: { name: 'orders.placed', version: 1, id: `event-${parts.id}` },
    key: 'k',
    headers: { ce_type: 'orders.placed', tenant: 't1' },
    body: '{"orderId":"1","total":5}',
    ...parts,
  };
}
