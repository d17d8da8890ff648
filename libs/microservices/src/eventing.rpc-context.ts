import { BaseRpcContext } from '@nestjs/microservices';
import type { Envelope } from 'nestjs-eventing';

/** What `@Ctx()` gives to a handler of an `EventingTransport`. */
export class EventingRpcContext extends BaseRpcContext<[envelope: Envelope, pattern: string]> {
  constructor(
    envelope: Envelope,
    pattern: string,
    /** Somebody waits for a reply. */
    readonly isRequest: boolean,
  ) {
    super([envelope, pattern]);
  }

  /** Everything known about the event: id, key, headers, attempt, and the signal to heed. */
  getEnvelope(): Envelope {
    return this.getArgByIndex(0);
  }

  /** The pattern in Nest's normal form. */
  getPattern(): string {
    return this.getArgByIndex(1);
  }
}
