import type { FetchedRecords, IncomingRecord } from './kafka.driver.js';

/** What was read of a partition and not delivered. As large as its high-water mark and one answer of the broker, at most. */
export class RecordBuffer {
  private records: readonly IncomingRecord[] = [];
  private at = 0;
  private readTo: number;
  private isFull = false;

  constructor(
    start: number,
    /** Records above which no more are read; reading goes on below half of it. */
    private readonly highWater: number,
    private readonly fullChanged: (full: boolean) => void,
  ) {
    this.readTo = start;
  }

  /** Where everything before it has left the buffer. */
  get position(): number {
    return this.first?.offset ?? this.readTo;
  }

  /** Where what was read ends. */
  get end(): number {
    return this.readTo;
  }

  get first(): IncomingRecord | undefined {
    return this.records[this.at];
  }

  add(fetched: FetchedRecords): void {
    this.records = this.first === undefined ? fetched.records : [...this.records.slice(this.at), ...fetched.records];
    this.at = 0;
    this.readTo = fetched.nextOffset;
  }

  shift(): void {
    this.at++;
  }

  clear(): void {
    this.records = [];
    this.at = 0;
  }

  /** Tells when it became full, or empty enough. */
  tell(): void {
    const waiting = this.records.length - this.at;
    const full = this.isFull ? waiting > this.highWater / 2 : waiting > this.highWater;
    if (full === this.isFull) return;
    this.isFull = full;
    this.fullChanged(full);
  }
}
