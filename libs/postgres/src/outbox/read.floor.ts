/** What a look at the outbox gave, as far as the floor is concerned. */
export interface Look {
  /** The last position among those that waited; `undefined`: none did. */
  readonly last: bigint | undefined;
  /** Every transaction before this one has ended, as the look sees it. */
  readonly xmin: bigint;
  /** The look's own transaction, whose id was drawn after what it sees was fixed. */
  readonly xid: bigint;
}

/**
 * The position up to which a relay need not look: what was there is published, or waits behind something that failed. It keeps a look
 * from passing over all that was deleted and not yet cleaned up, of which there can be millions while a long transaction runs.
 *
 * Positions become visible in any order. But who has drawn one has a transaction id already. So when a position P is seen, whoever drew
 * a lower one has an id below that of the look; and a later look whose `xmin` has reached this id sees everything up to P.
 */
export class ReadFloor {
  #floor = 0n;
  #candidate: { readonly position: bigint; readonly xid: bigint } | undefined;

  get position(): bigint {
    return this.#floor;
  }

  /** After each look from the floor on. */
  note({ last, xmin, xid }: Look): void {
    const candidate = this.#candidate;
    if (candidate !== undefined && xmin >= candidate.xid) {
      // What the look had no room for is still to come.
      const seen = last === undefined || last > candidate.position ? candidate.position : last;
      if (seen > this.#floor) this.#floor = seen;
      this.#candidate = undefined;
    }
    if (last !== undefined) this.#candidate ??= { position: last, xid };
  }

  /** What is at this position, or what waited behind it, is to be looked at again. */
  lower(position: bigint): void {
    if (position <= this.#floor) this.#floor = position - 1n;
    this.#candidate = undefined;
  }

  /** Everything is. */
  reset(): void {
    this.lower(1n);
  }
}
