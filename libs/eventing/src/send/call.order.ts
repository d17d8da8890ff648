import type { OutgoingMessage } from '../provider/event-provider.js';

/** A place in the order of sends, taken before anybody knows what will be sent. */
export class Slot {
  message: OutgoingMessage | undefined = undefined;
  cancelled = false;
  /** A slot before it in its lane is neither filled nor given up. */
  waits = false;
  next: Slot | undefined = undefined;

  constructor(
    readonly lane: string | undefined,
    /** Milliseconds since 1970. */
    readonly since: number,
    readonly resolve: () => void,
    readonly reject: (error: Error) => void,
  ) {}
}

/**
 * Makes a key's order the order of the calls, whatever the pipelines and validators of each call wait for: a slot is reserved
 * at the call, and what follows it in its lane passes when it has been filled or given up. Other keys do not wait.
 */
export class CallOrder {
  /** The last slot of each lane that has an open one. */
  readonly #lanes = new Map<string, Slot>();

  constructor(private readonly pass: (slot: Slot) => void) {}

  reserve(slot: Slot): void {
    if (slot.lane === undefined) return;
    const last = this.#lanes.get(slot.lane);
    if (last !== undefined) {
      last.next = slot;
      slot.waits = true;
    }
    this.#lanes.set(slot.lane, slot);
  }

  fill(slot: Slot, message: OutgoingMessage): void {
    slot.message = message;
    this.#advance(slot);
  }

  cancel(slot: Slot): void {
    slot.cancelled = true;
    this.#advance(slot);
  }

  #advance(slot: Slot): void {
    if (slot.lane === undefined) {
      if (!slot.cancelled) this.pass(slot);
      return;
    }
    if (slot.waits) return;
    let current: Slot | undefined = slot;
    while (current !== undefined && (current.message !== undefined || current.cancelled)) {
      const next: Slot | undefined = current.next;
      if (next === undefined) this.#lanes.delete(slot.lane);
      else next.waits = false;
      current.next = undefined;
      if (!current.cancelled) this.pass(current);
      current = next;
    }
  }
}
