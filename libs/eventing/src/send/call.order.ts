import type { PendingSend } from './pending.send.js';

/**
 * Makes a key's order the order of the calls, whatever the pipelines and validators of each call wait for: a place is
 * reserved at the call, and what follows it in its lane passes when it has been filled or given up. Other keys do not wait.
 */
export class CallOrder {
  /** The last send of each lane that has an open place. */
  readonly #lanes = new Map<string, PendingSend>();

  constructor(private readonly pass: (send: PendingSend) => void) {}

  reserve(send: PendingSend): void {
    const { lane } = send;
    if (lane === undefined) return;
    send.reserved = true;
    const last = this.#lanes.get(lane);
    if (last !== undefined) {
      last.nextInLane = send;
      send.waits = true;
    }
    this.#lanes.set(lane, send);
  }

  /** The send has its message. */
  fill(send: PendingSend): void {
    // Mostly nobody has an open place, and then there is nothing to look up.
    if (this.#lanes.size === 0) return this.pass(send);
    const { lane } = send;
    if (lane === undefined || !this.#lanes.has(lane)) return this.pass(send);
    if (!send.reserved) this.reserve(send);
    this.#advance(send, lane);
  }

  cancel(send: PendingSend): void {
    send.cancelled = true;
    const { lane } = send;
    if (lane !== undefined && send.reserved) this.#advance(send, lane);
  }

  #advance(send: PendingSend, lane: string): void {
    if (send.waits) return;
    let current: PendingSend | undefined = send;
    while (current !== undefined && (current.message !== undefined || current.cancelled)) {
      const next: PendingSend | undefined = current.nextInLane;
      if (next === undefined) this.#lanes.delete(lane);
      else next.waits = false;
      current.nextInLane = undefined;
      if (!current.cancelled) this.pass(current);
      current = next;
    }
  }
}
