import type { OutgoingMessage } from '../provider/event-provider.js';

/** A message as its channel keeps it: the sender's own object, its place, and when it came. Shared by every copy. */
export class StoredMessage {
  constructor(
    readonly message: OutgoingMessage,
    readonly partition: number,
    /** Counted from 0 within its partition. */
    readonly sequence: number,
    /** By the broker's clock. */
    readonly storedAt: number,
  ) {}
}
