import type { DeadLetter, OutgoingMessage } from 'nestjs-eventing';
import type { DeferredMessage } from '../deferred/deferred.table.js';

/** A message of the log that is to come back. */
export interface Deferral {
  readonly message: Omit<DeferredMessage, 'number'>;
  /** Milliseconds since 1970, by our clock. */
  readonly notBefore: number;
}

/** What follows from settled messages of one source, in the order in which they were settled. */
export interface Settled {
  readonly outputs: readonly OutgoingMessage[];
  readonly letters: readonly DeadLetter[];
  readonly deferrals: readonly Deferral[];
}

/** What waits of one source: beyond either, nothing more of it is delivered. */
const MOST = 10_000;
const MOST_BYTES = 16 * 1024 * 1024;
/** Counted for each beside its body: its headers, a stack. */
const OVERHEAD = 512;

/** Keeps what follows from settled messages until it is committed together with the position. */
export class SettledLedger {
  private outputs: OutgoingMessage[] = [];
  private letters: DeadLetter[] = [];
  private deferrals: Deferral[] = [];
  private counted = 0;

  get isFull(): boolean {
    return this.size >= MOST || this.counted >= MOST_BYTES;
  }

  /** How much is not committed. */
  get size(): number {
    return this.outputs.length + this.letters.length + this.deferrals.length;
  }

  /** Roughly. */
  get bytes(): number {
    return this.counted;
  }

  addOutputs(outputs: readonly OutgoingMessage[]): void {
    for (const output of outputs) this.outputs.push(output);
    this.counted += sizeOf(outputs);
  }

  addLetter(letter: DeadLetter): void {
    this.letters.push(letter);
    this.counted += sizeOf([letter.message]);
  }

  addDeferral(deferral: Deferral): void {
    this.deferrals.push(deferral);
    this.counted += sizeOf([deferral.message]);
  }

  /** All that there is now. It stays until it is committed. */
  present(): Settled {
    return { outputs: [...this.outputs], letters: [...this.letters], deferrals: [...this.deferrals] };
  }

  committed({ outputs, letters, deferrals }: Settled): void {
    this.outputs.splice(0, outputs.length);
    this.letters.splice(0, letters.length);
    this.deferrals.splice(0, deferrals.length);
    this.counted -= sizeOf(outputs) + sizeOf(letters.map(({ message }) => message));
    this.counted -= sizeOf(deferrals.map(({ message }) => message));
  }
}

function sizeOf(messages: readonly { readonly body: Uint8Array }[]): number {
  return messages.reduce((sum, { body }) => sum + body.byteLength + OVERHEAD, 0);
}
