/** Numbers of deliveries that are to be accepted, handed over as ranges. */
export class SettlementBatch {
  private ids: number[] = [];
  private sorted = true;

  get size(): number {
    return this.ids.length;
  }

  add(id: number): void {
    const { length } = this.ids;
    if (length > 0 && (this.ids[length - 1] as number) > id) this.sorted = false;
    this.ids.push(id);
  }

  /** Every range once, lowest first. The batch is empty afterwards. */
  takeRanges(take: (first: number, last: number) => void): void {
    const { ids } = this;
    if (ids.length === 0) return;
    this.ids = [];
    if (!this.sorted) ids.sort((a, b) => a - b);
    this.sorted = true;
    let first = ids[0] as number;
    let last = first;
    for (let index = 1; index < ids.length; index++) {
      const id = ids[index] as number;
      if (id === last + 1) last = id;
      else {
        take(first, last);
        first = last = id;
      }
    }
    take(first, last);
  }

  clear(): void {
    this.ids = [];
    this.sorted = true;
  }
}
