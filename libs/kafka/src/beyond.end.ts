import type { Clock } from 'nestjs-eventing';
import { DriverError } from './kafka.driver.js';

/** For how many milliseconds, and how often at least, it must be said before it is believed. */
const BELIEVED_AFTER = 5_000;
const BELIEVED_TIMES = 5;

/**
 * Places that a broker says are beyond the end of their log. The log may be a new one of the same name; or the broker was suspended, another
 * leads the partition by now, and nobody has told it yet. Its word stands when it goes on saying so.
 */
export class BeyondEnd {
  private readonly said = new Map<string, { readonly since: number; times: number }>();

  constructor(private readonly clock: Clock) {}

  /** Throws what has the reader look for the leader and ask again, until it is believed. */
  doubt(name: string, offset: number): void {
    const now = this.clock.now();
    const said = this.said.get(name) ?? { since: now, times: 0 };
    this.said.set(name, said);
    said.times++;
    if (now - said.since < BELIEVED_AFTER || said.times < BELIEVED_TIMES)
      throw new DriverError('OFFSET_OUT_OF_RANGE', `whoever leads ${name} does not know of ${offset}`);
    this.said.delete(name);
  }

  /** It can be read, or another place of it is asked for. */
  clear(name: string): void {
    if (this.said.size > 0) this.said.delete(name);
  }
}
