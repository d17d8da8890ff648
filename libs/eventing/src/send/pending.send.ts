import type { Envelope } from '../envelope/envelope.js';
import type { OutgoingMessage } from '../provider/event-provider.js';

/** One `sendEvent` without its answer. */
export class PendingSend {
  message: OutgoingMessage | undefined = undefined;
  cancelled = false;
  /** When it was put or reserved, milliseconds since 1970, where that matters. */
  since = 0;
  /** The sink has room for it. */
  counted = false;
  /** It has a place in its lane. */
  reserved = false;
  /** A send before it in its lane is neither filled nor given up. */
  waits = false;
  nextInLane: PendingSend | undefined = undefined;

  constructor(
    readonly envelope: Envelope,
    readonly channel: string,
    readonly resolve: (envelope: Envelope) => void,
    readonly reject: (error: unknown) => void,
  ) {}

  /** What it is ordered by; `undefined`: nothing. */
  get lane(): string | undefined {
    const { key } = this.envelope;
    return key === undefined ? undefined : `${this.channel}\n${key}`;
  }

  /** The sink has taken responsibility. */
  succeed(): void {
    this.resolve(this.envelope);
  }
}
