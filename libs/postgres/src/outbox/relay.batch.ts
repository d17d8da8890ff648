import { EventingError, type OutgoingMessage, type PublishFailure } from 'nestjs-eventing';
import { messageOf } from './message.json.js';

/** A row of the outbox as a look gives it. */
export interface RelayRow {
  readonly position: string;
  readonly state: 'waiting' | 'retrying';
  readonly attempts: number;
  readonly id: string;
  readonly channel: string;
  readonly key: string | null;
  readonly headers: string;
  readonly body: Uint8Array;
  readonly time: number;
  readonly durable: boolean;
  readonly recipient: string | null;
}

/** What became of a batch. Rows that are in none of the lists were not tried, and are as they were. */
export interface BatchOutcome {
  readonly sent: RelayRow[];
  /** The broker refused them, or could not be reached for them alone (`patient`): that does not count against them. */
  readonly failed: { readonly row: RelayRow; readonly error: Error; readonly patient: boolean }[];
  /** The broker cannot be reached at all. */
  away: Error | undefined;
}

export type Publish = (messages: readonly OutgoingMessage[]) => Promise<readonly PublishFailure[]>;

/** The broker is in trouble, and not the message. */
const TROUBLE = new Set([
  'EVT_PUBLISH_TIMEOUT',
  'EVT_CONNECTION',
  'EVT_AUTHENTICATION',
  'EVT_NOT_RUNNING',
  'EVT_START_TIMEOUT',
  'EVT_DISK_FULL',
  'EVT_READ_ONLY',
]);

/**
 * Publishes a batch in rounds: of each key one message a round (or as many as may be in flight), so that none overtakes another of its
 * key that fails. A key that fails is done for this batch; the others go on.
 */
export class RelayBatch {
  readonly #lanes: RelayRow[][];
  readonly #outcome: BatchOutcome = { sent: [], failed: [], away: undefined };

  constructor(
    rows: readonly RelayRow[],
    private readonly inFlightPerKey: number,
    private readonly publish: Publish,
  ) {
    this.#lanes = lanesOf(rows);
  }

  /** @param goOn asked before each round; never rejects */
  async run(goOn: () => Promise<boolean>): Promise<BatchOutcome> {
    let lanes = this.#lanes;
    while (lanes.length > 0 && this.#outcome.away === undefined && (await goOn())) {
      const failed = await this.#round(lanes.map((lane) => lane.splice(0, this.inFlightPerKey)));
      lanes = lanes.filter((lane, index) => lane.length > 0 && !failed.has(index));
    }
    return this.#outcome;
  }

  /** @returns the indices of runs of which something failed */
  async #round(runs: readonly (readonly RelayRow[])[]): Promise<ReadonlySet<number>> {
    const rows = runs.flatMap((run, index) => run.map((row) => ({ row, index })));
    const failures = await this.#failuresOf(rows.map(({ row }) => row));
    const errors = new Map(failures.map(({ index, error }) => [index, error]));
    const { sent, failed } = this.#outcome;
    const troubled = failures.filter(({ error }) => isTrouble(error));
    if (troubled.length === rows.length) {
      this.#outcome.away = troubled[0]?.error;
      return new Set();
    }
    const lanes = new Set<number>();
    for (const [at, { row, index }] of rows.entries()) {
      const error = errors.get(at);
      if (error === undefined) {
        sent.push(row);
        continue;
      }
      failed.push({ row, error, patient: isTrouble(error) });
      lanes.add(index);
    }
    return lanes;
  }

  async #failuresOf(rows: readonly RelayRow[]): Promise<readonly PublishFailure[]> {
    try {
      return await this.publish(rows.map(messageOf));
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(String(thrown));
      if (isTrouble(error) || rows.length === 1) return rows.map((_, index) => ({ index, error, indeterminate: true }));
      // One of them may be the reason, and must not be that of the others.
      const failures: PublishFailure[] = [];
      for (const [index, row] of rows.entries())
        for (const failure of await this.#failuresOf([row])) failures.push({ ...failure, index });
      return failures;
    }
  }
}

const isTrouble = (error: Error): boolean => error instanceof EventingError && TROUBLE.has(error.code);

/** By channel and key; what has no key is a lane of its own. */
function lanesOf(rows: readonly RelayRow[]): RelayRow[][] {
  const lanes = new Map<string, RelayRow[]>();
  for (const row of rows) {
    const name = row.key === null ? `\n${row.position}` : `${row.channel}\n${row.key}`;
    const lane = lanes.get(name);
    if (lane === undefined) lanes.set(name, [row]);
    else lane.push(row);
  }
  return [...lanes.values()];
}
