import type { Database } from './database.js';

/** One database for several providers: opened with the first, closed with the last. */
export class SharedDatabase {
  private users = 0;
  private opened: Promise<Database> | undefined;
  /** A folder is opened again only when it is closed. */
  private closing: Promise<void> = Promise.resolve();

  constructor(private readonly open: () => Promise<Database>) {}

  /** Its `close()` ends the use, not the database. */
  async use(): Promise<Database> {
    this.users++;
    this.opened ??= this.closing.then(() => this.open());
    const opening = this.opened;
    let database: Database;
    try {
      database = await opening;
    } catch (error) {
      this.users--;
      // The next one tries again.
      if (this.opened === opening) this.opened = undefined;
      throw error;
    }
    let ended: Promise<void> | undefined;
    return {
      kind: database.kind,
      urgent: database.urgent,
      query: (text, values) => database.query(text, values),
      transaction: (work, options) => database.transaction(work, options),
      listen: (channel, heard) => database.listen(channel, heard),
      close: () => (ended ??= this.leave(database)),
    };
  }

  private leave(database: Database): Promise<void> {
    this.users--;
    if (this.users > 0) return Promise.resolve();
    this.opened = undefined;
    this.closing = database.close();
    return this.closing;
  }
}
