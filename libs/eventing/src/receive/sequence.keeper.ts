import { ReleasedDelivery, messageOf, released, releaseOf } from '../dead-letters/dead-letter.release.js';
import type { DeadLetter } from '../dead-letters/dead-letter.js';
import type { DeadLetterSequences, LetterRelease, SequenceKey } from '../dead-letters/dead-letter.sequences.js';
import type { Delivery, EventProvider } from '../provider/event-provider.js';
import { DeliveryJob } from './delivery.job.js';
import { Failure } from './failure.js';
import type { Settler } from './settler.js';

export interface SequenceKeeperOptions {
  /** The subscription's name. */
  readonly name: string;
  readonly provider: EventProvider;
  /** Those of the provider. */
  readonly sequences: DeadLetterSequences;
  /** The listener has `deadLetters: 'sequenced'`. Else there are only letters of a time when it had. */
  readonly sequenced: boolean;
  readonly settler: Settler;
}

/**
 * Keeps events behind the dead letters of their keys. The store alone decides, for each event anew: what a process remembers of a key is
 * wrong as soon as the key has moved. Every step can be taken again, so a crash between any two of them repeats and loses nothing.
 */
export class SequenceKeeper {
  constructor(private readonly options: SequenceKeeperOptions) {}

  /** A delivery as it is to be handled. */
  jobOf(delivery: Delivery, lane: string | undefined): DeliveryJob {
    const release = releaseOf(delivery.headers);
    return new DeliveryJob(release === undefined ? delivery : new ReleasedDelivery(delivery), lane, release);
  }

  /** The store has to be asked before anything is done with it. */
  concerns({ admitted, release, delivery }: DeliveryJob): boolean {
    return !admitted && (release !== undefined || (this.options.sequenced && delivery.key !== undefined));
  }

  /** False: it waits in its row now or, of a release, another one counts or has been handled. Then it is to be accepted as it is. */
  async admits(job: DeliveryJob): Promise<boolean> {
    const { sequences, settler } = this.options;
    const { release } = job;
    if (release === undefined) {
      const name = job.read?.message?.name ?? job.delivery.channel;
      return !(await sequences.park(this.#keyOf(job), () => settler.letter(job, Failure.waiting(name), 0)));
    }
    if (await sequences.isCurrent(release)) return true;
    // It may have been handled by one that died before it could send the next.
    await this.advance(job, release);
    return false;
  }

  /** It was handled: it leaves its row, and the next one is sent. */
  async advance(job: DeliveryJob, release: LetterRelease): Promise<void> {
    const { sequences, provider } = this.options;
    const next = await sequences.advance(this.#keyOf(job), release);
    if (next === undefined) return;
    const { letter, number } = next;
    const [failure] = await provider.publish([released(messageOf(letter), { letter: letter.id, number })]);
    if (failure !== undefined) throw failure.error;
  }

  /** It is the first dead letter of its row again. */
  failed(letter: DeadLetter, release: LetterRelease): Promise<void> {
    return this.options.sequences.failed(letter, release);
  }

  #keyOf({ delivery: { channel, key = '' } }: DeliveryJob): SequenceKey {
    return { listener: this.options.name, channel, key };
  }
}
