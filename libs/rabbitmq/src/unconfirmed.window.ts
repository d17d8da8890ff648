import type { QueuedParcel } from './parcel.js';

/** What was written to one AMQP channel and is not confirmed, by delivery tag: 1 for the first message of the channel, and so on. */
export class UnconfirmedWindow {
  private parcels: (QueuedParcel | undefined)[] = [];
  /** The tag of `parcels[0]`. */
  private first = 1;
  private at = 0;
  size = 0;
  bytes = 0;

  add(queued: QueuedParcel): void {
    this.parcels.push(queued);
    this.size++;
    this.bytes += queued.parcel.body.length;
  }

  /** Those that the broker answered for, in the order in which they were written. */
  take(tag: number, multiple: boolean): QueuedParcel[] {
    const index = tag - this.first;
    if (index < this.at || index >= this.parcels.length) return [];
    const taken: QueuedParcel[] = [];
    for (let place = multiple ? this.at : index; place <= index; place++) {
      const queued = this.parcels[place];
      if (queued === undefined) continue;
      this.parcels[place] = undefined;
      this.size--;
      this.bytes -= queued.parcel.body.length;
      taken.push(queued);
    }
    while (this.at < this.parcels.length && this.parcels[this.at] === undefined) this.at++;
    if (this.at === this.parcels.length || this.at >= 4_096) {
      this.parcels.splice(0, this.at);
      this.first += this.at;
      this.at = 0;
    }
    return taken;
  }

  find(fits: (queued: QueuedParcel) => boolean): QueuedParcel | undefined {
    return this.parcels.find((queued) => queued !== undefined && fits(queued));
  }

  /** All that is left, in the order in which it was written. */
  drain(): QueuedParcel[] {
    return this.parcels.splice(0).filter((queued): queued is QueuedParcel => queued !== undefined);
  }
}
