import { EventingError } from 'nestjs-eventing';
import type { Database } from '../sql/database.js';

/** Bytes of the longest name: it has to fit into a notification with room to spare. */
const LONGEST_NAME = 500;

/** The channels of the log, each with its number of partitions, which is fixed when it is made. */
export class Channels {
  private readonly known = new Map<string, number>();

  constructor(
    private readonly database: () => Database,
    private readonly schema: string,
    private readonly options: { readonly topology: 'create' | 'check'; readonly partitions: number },
  ) {}

  /** Undefined where nobody has asked for it yet. */
  partitions(channel: string): number | undefined {
    return this.known.get(channel);
  }

  /** Makes what is missing, or throws EVT_TOPOLOGY for it under `topology: 'check'`. */
  async ensure(names: readonly string[]): Promise<void> {
    // In one order everywhere, so that two processes do not wait for each other.
    const wanted = [...new Set(names)].filter((name) => !this.known.has(name)).sort();
    if (wanted.length === 0) return;
    for (const name of wanted)
      if (name === '' || name.includes('\0') || Buffer.byteLength(name) > LONGEST_NAME)
        throw new EventingError(
          'EVT_TOPOLOGY',
          `A channel cannot be called "${name.slice(0, 100)}": its name has 1 to ${LONGEST_NAME} bytes.`,
        );
    const { schema, options } = this;
    const database = this.database();
    await this.look(wanted);
    const missing = wanted.filter((name) => !this.known.has(name));
    if (missing.length === 0) return;
    if (options.topology === 'check')
      throw new EventingError(
        'EVT_TOPOLOGY',
        `There is no channel ${missing.join(', ')} in ${schema}.channels: create it, or start with topology: 'create'.`,
      );
    await database.query(
      `INSERT INTO ${schema}.channels (name, partitions) SELECT name, $2 FROM unnest($1::text[]) AS name ON CONFLICT DO NOTHING`,
      [missing, options.partitions],
    );
    await this.look(missing);
  }

  /** The tables are gone, or others. */
  forget(): void {
    this.known.clear();
  }

  private async look(names: readonly string[]): Promise<void> {
    const { rows } = await this.database().query<{ name: string; partitions: number }>(
      `SELECT name, partitions FROM ${this.schema}.channels WHERE name = ANY($1::text[])`,
      [names],
    );
    for (const { name, partitions } of rows) this.known.set(name, partitions);
  }
}
