import type { EventingError, PublishFailure } from 'nestjs-eventing';
import type { QueuedRecord } from './producer.lane.js';

/** One call of `publish`: counts down, and resolves with what failed. */
export class PublishCall {
  readonly records: QueuedRecord[] = [];
  private readonly failures: PublishFailure[] = [];
  private remaining: number;

  constructor(
    count: number,
    /** Milliseconds since 1970. */
    readonly deadline: number,
    private readonly resolve: (failures: readonly PublishFailure[]) => void,
  ) {
    this.remaining = count;
  }

  get open(): boolean {
    return this.remaining > 0;
  }

  stored(record: QueuedRecord): void {
    if (record.done) return;
    record.done = true;
    this.finish();
  }

  failed(record: QueuedRecord, error: EventingError, indeterminate: boolean): void {
    if (record.done) return;
    record.done = true;
    this.failures.push({ index: record.index, error, indeterminate });
    this.finish();
  }

  private finish(): void {
    this.remaining--;
    if (this.remaining === 0) this.resolve(this.failures);
  }
}
