import type { PublishFailure } from 'nestjs-eventing';

/** One call of `publish()`: how many of its messages have no answer yet, and which failed. */
export class PublishCall {
  private readonly failures: PublishFailure[] = [];
  private open: number;

  constructor(
    count: number,
    /** By the provider's clock, milliseconds. */
    readonly deadline: number,
    private readonly resolve: (failures: readonly PublishFailure[]) => void,
  ) {
    this.open = count;
  }

  get isOpen(): boolean {
    return this.open > 0;
  }

  stored(): void {
    if (--this.open === 0) this.end();
  }

  failed(index: number, error: Error, indeterminate: boolean): void {
    this.failures.push({ index, error, indeterminate });
    if (--this.open === 0) this.end();
  }

  private end(): void {
    this.resolve(this.failures.length > 1 ? this.failures.sort((a, b) => a.index - b.index) : this.failures);
  }
}

/** One message until it has an answer. */
export class OpenMessage {
  done = false;
  /** It was sent, and nothing was heard of it when its link ended. */
  mayBeStored = false;
  sending = false;

  constructor(
    readonly call: PublishCall,
    readonly index: number,
    readonly bytes: Buffer,
  ) {}
}
