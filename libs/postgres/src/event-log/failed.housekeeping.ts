import type { EventLogHome, FoundDeadLetter } from 'nestjs-eventing';
import type { OutboxStatements } from '../outbox/outbox.statements.js';
import { PURGED } from '../outbox/retention.js';
import type { Database } from '../sql/database.js';

/** Deletes failures that nobody has cared for in time. */
export class FailedHousekeeping {
  /** Of the purge that is under way. */
  #events = 0;

  constructor(
    private readonly home: EventLogHome,
    private readonly outbox: OutboxStatements,
    /** Milliseconds. */
    private readonly retention: number,
    private readonly database: () => Promise<Database>,
  ) {}

  /** @returns how many events of the outbox were deleted, at most `PURGED` */
  async run(): Promise<number> {
    const { service, deadLetters, clock, logger } = this.home;
    const database = await this.database();
    const values = [service, this.retention, PURGED, this.outbox.channel];
    const { rows } = await database.query<{ count: number }>(this.outbox.purgeFailed, values);
    const count = rows[0]?.count ?? 0;
    this.#events += count;
    if (count === PURGED) return count;
    const events = this.#events;
    this.#events = 0;
    const letters = await deadLetters.purge({ until: clock.now() - this.retention }, inRow);
    const gone = [...(events === 0 ? [] : [`${events} events`]), ...(letters === 0 ? [] : [`${letters} dead letters`])];
    if (gone.length > 0) logger.warn(`Deleted as too old, and never sent again: ${gone.join(' and ')}`);
    return count;
  }
}

/** What waits behind another letter, or is under way to its listener, goes with no one's age: it would leave a hole in its key. */
const inRow = ({ sequence }: FoundDeadLetter): boolean => sequence === 'waiting' || sequence === 'released';
