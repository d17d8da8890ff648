import { Alarm, backoff, type Clock } from 'nestjs-eventing';
import { DriverError, FencedError } from './kafka.driver.js';
import { asDriverError, isAnswer, isRetriable } from './kafkajs.codes.js';

export interface InsistenceOptions {
  readonly transactionalId: string;
  readonly clock: Clock;
  /** Milliseconds after which what still fails is given up. */
  readonly patience: number;
}

/** Told of what brokers have refused for a while and is tried again; what succeeds after that is not told of. */
export type Hindered = (error: DriverError) => void;

/** Ours has ended, or the broker does not know where it stands: no answer to a repeat would mean anything. */
const FENCED = new Set([
  'INVALID_PRODUCER_EPOCH',
  'PRODUCER_FENCED',
  'INVALID_PRODUCER_ID_MAPPING',
  'UNKNOWN_PRODUCER_ID',
  'INVALID_TXN_STATE',
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'TRANSACTION_COORDINATOR_FENCED',
]);
/** Passes in milliseconds: the transaction before is being ended. */
const SOON = 'CONCURRENT_TRANSACTIONS';
/** How often that is looked for at such intervals; about two seconds. After that something is wrong. */
const SOON_LOOKS = 50;
/** Not retriable by Kafka's table, and yet no verdict. */
const PASSING = new Set(['UNKNOWN', 'BROKER_NOT_AVAILABLE']);
const MISSING = 'UNKNOWN_TOPIC_OR_PARTITION';
/** How often a missing partition is looked for, before whoever planned the transaction has to see to it. */
const LOOKS = 8;
/** Elections and restarts of a broker take less, and are no news. Milliseconds. */
const NEWS = 5_000;

/** Repeats the requests of one transactional id: each until it is done, refused, of no use any more, or has failed for too long. */
export class Insistence {
  /** Of the requests that wait for their next turn: there may be several at one time. */
  private readonly alarms = new Set<Alarm>();
  private closed = false;

  constructor(private readonly options: InsistenceOptions) {}

  get isClosed(): boolean {
    return this.closed;
  }

  close(): void {
    this.closed = true;
    for (const alarm of this.alarms) alarm.wake();
  }

  /**
   * @param moved told before a repeat that who answers may be another by now
   * @throws FencedError where only taking the id over leads on; DriverError with the last failure otherwise
   */
  async on<T>(attempt: () => Promise<T>, hindered: Hindered, moved: () => void): Promise<T> {
    const { clock, patience } = this.options;
    const began = clock.now();
    for (let failures = 1, told = false; ; failures++) {
      if (this.closed)
        throw new DriverError('CONNECTION_CLOSED', `the transactional id ${this.options.transactionalId} is given up`);
      try {
        return await attempt();
      } catch (thrown) {
        const error = asDriverError(thrown);
        this.judge(error, failures, clock.now() - began >= patience);
        // Of brokers that cannot be reached the provider tells.
        if (!told && isAnswer(error) && clock.now() - began >= Math.min(NEWS, patience / 2)) {
          told = true;
          hindered(error);
        }
        if (error.type !== SOON) moved();
        await this.sleep(pauseAfter(error, failures));
      }
    }
  }

  private async sleep(milliseconds: number): Promise<void> {
    const alarm = new Alarm();
    this.alarms.add(alarm);
    await alarm.sleep(milliseconds);
    this.alarms.delete(alarm);
  }

  /** Throws what ends the repeating. */
  private judge(error: DriverError, failures: number, isLate: boolean): void {
    if (FENCED.has(error.type) || error.type.startsWith('CODE_'))
      throw new FencedError(error.type, error.message, { cause: error });
    const refused = isAnswer(error) && !isRetriable(error) && !PASSING.has(error.type);
    if (refused || isLate || (error.type === MISSING && failures >= LOOKS)) throw error;
  }
}

function pauseAfter({ type }: DriverError, failures: number): number {
  if (type !== SOON) return backoff(failures, 20, 1_000);
  return failures <= SOON_LOOKS ? backoff(failures, 4, 50) : backoff(failures - SOON_LOOKS, 50, 1_000);
}
