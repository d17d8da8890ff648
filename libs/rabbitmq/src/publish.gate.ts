import { Alarm, backoff, type Clock, EventingError, type PublishFailure } from 'nestjs-eventing';
import type { Parcel } from './parcel.js';
import type { PublishQueue } from './publish.queue.js';
import { connectionError, hopeless } from './rabbit.errors.js';

export interface PublishGateOptions {
  /** Milliseconds. */
  readonly publishTimeout: number;
  readonly clock: Clock;
  /** Makes sure that the channels have their exchanges. */
  ensure(channels: readonly string[]): Promise<void>;
}

/** Holds up what is sent to a channel that was not named at the start until its exchange is there, and all that comes after, in order. */
export class PublishGate {
  private last: Promise<unknown> | undefined;
  private readonly alarm = new Alarm();
  private stopped = false;

  constructor(
    private readonly queue: PublishQueue,
    private readonly options: PublishGateOptions,
  ) {}

  get isBusy(): boolean {
    return this.last !== undefined;
  }

  /** @param unknown channels to make sure of first */
  publish(parcels: readonly Parcel[], unknown: readonly string[]): Promise<readonly PublishFailure[]> {
    const { clock, publishTimeout } = this.options;
    const deadline = clock.now() + publishTimeout;
    const before = this.last ?? Promise.resolve();
    const taken = before.then(async () => {
      const failed = new Map<string, EventingError>();
      for (const channel of unknown) {
        try {
          await this.retrying(() => this.options.ensure([channel]), deadline);
        } catch (error) {
          failed.set(channel, error as EventingError);
        }
      }
      const good = parcels.flatMap((parcel, index) => (failed.has(parcel.channel) ? [] : [index]));
      const bad = parcels.flatMap((parcel, index): PublishFailure[] => {
        const error = failed.get(parcel.channel);
        return error === undefined ? [] : [{ index, error, indeterminate: false }];
      });
      // Handed over before whoever waits behind this goes on; not awaited here.
      return { bad, good, outcome: this.queue.publish(good.map((index) => parcels[index] as Parcel)) };
    });
    this.last = taken;
    void taken.finally(() => {
      if (this.last === taken) this.last = undefined;
    });
    return taken.then(async ({ bad, good, outcome }) => {
      const failures = good.length === 0 ? [] : await outcome;
      return [...bad, ...failures.map((failure) => ({ ...failure, index: good[failure.index] as number }))];
    });
  }

  /** Tries until it works, is hopeless, or the time is over. */
  async retrying(work: () => Promise<void>, deadline = Infinity): Promise<void> {
    for (let attempt = 1; !this.stopped; attempt++) {
      try {
        return await work();
      } catch (error) {
        const final = hopeless(error);
        if (final !== undefined) throw final;
        const left = deadline - this.options.clock.now();
        if (left <= 0) {
          const text = `RabbitMQ did not confirm the event within ${this.options.publishTimeout / 1_000} s (\`publishTimeout\`): ${connectionError(error).message}`;
          throw new EventingError('EVT_PUBLISH_TIMEOUT', text, { cause: error });
        }
        await this.alarm.sleep(Math.min(left, backoff(attempt, 50, 2_000)));
      }
    }
    throw new EventingError('EVT_NOT_RUNNING', 'The RabbitMQ provider is stopped.');
  }

  stop(): void {
    this.stopped = true;
    this.alarm.wake();
  }
}
