import assert from 'node:assert/strict';
import { type DeadLetter, type EventClass, type ListenerOptions, RejectEvent } from 'nestjs-eventing';
import type { Call, Journal, ListenerPlan } from './journal.js';
import type { Sample } from './sample.event.js';
import type { Trial } from './trial.js';
import type { TrialService } from './trial.service.js';

const SEQUENCED: ListenerOptions = { deadLetters: 'sequenced', retry: { attempts: 5, delay: 10 }, concurrency: 4 };

/** A keyed event, and its sequenced listener in any number of processes: it rejects `n: 0` of the keys a and c while it is broken. */
export class SequencedTrial {
  broken = true;
  /** The first process. */
  one!: TrialService;
  readonly journal: Journal;
  readonly #event: EventClass<Sample>;
  readonly #listener: ListenerPlan;
  #sender!: TrialService;
  /** The process that joined last. */
  #latest!: TrialService;

  private constructor(
    private readonly trial: Trial,
    handle: (call: Call) => unknown,
  ) {
    this.journal = trial.journal();
    this.#event = trial.keyedEvent();
    this.#listener = this.journal.by('receipts', [this.#event], SEQUENCED, async (call) => {
      if (this.broken && call.body.n === 0 && call.body.key !== 'b') throw new RejectEvent('broken');
      await handle(call);
    });
  }

  static async open(trial: Trial, handle: (call: Call) => unknown = () => undefined): Promise<SequencedTrial> {
    const row = new SequencedTrial(trial, handle);
    row.one = await row.join('one');
    row.#sender = await trial.sender([row.#event]);
    return row;
  }

  async join(instance: string): Promise<TrialService> {
    this.#latest = await this.trial.start(instance, { listeners: [this.#listener] });
    return this.#latest;
  }

  /** One key after the other, each in order. */
  async send(...bodies: readonly (readonly Sample[])[]): Promise<void> {
    await this.#sender.sendAll(this.#event, bodies.flat(), { headers: { session: 's1' } });
  }

  /** Resolves when there are so many letters. */
  settledAt(count: number): Promise<void> {
    return this.trial.until(
      `there are ${count} letters`,
      async () => (await this.letters()).length >= count,
      () => `${this.handled('a').length} of a are handled`,
    );
  }

  letters(): Promise<DeadLetter[]> {
    return this.#latest.letters();
  }

  async redriveFirst(): Promise<void> {
    const [first] = await this.letters();
    await this.#latest.runtime.deadLetters.redrive(first?.id ?? '');
  }

  /** The numbers of what was handled of a key, in order. */
  handled(key: string): number[] {
    return this.journal.done.filter(({ body }) => body.key === key).map(({ body }) => body.n);
  }

  /** All of a key is handled, once and in order, and nothing of it waits. */
  async over(key: string, count: number): Promise<void> {
    await this.trial.until(
      `all of ${key} are handled`,
      () => this.handled(key).length >= count,
      () => this.handled(key).join(' '),
    );
    const left = async (): Promise<number> =>
      (await this.letters()).filter(({ message }) => message.key === key).length;
    await this.trial.until(`nothing of ${key} waits`, async () => (await left()) === 0);
    assert.deepEqual(
      this.handled(key),
      Array.from({ length: count }, (_, n) => n),
    );
    assert.deepEqual(this.journal.overlaps, []);
  }
}
