import type { FactoryProvider } from '@nestjs/common';
import { type Envelope, EnvelopePipeline, EventingError, type ListenerDescriptor, type Next } from 'nestjs-eventing';
import { type ChaosOptions, checkChaos } from './chaos.options.js';
import { SeededDraws } from './seeded.draws.js';

export interface FailAtRandomOptions extends ChaosOptions {
  /** `after`: the listener has done its work, and does it once more, as after a crash before the settlement. @default 'before' */
  readonly when?: 'before' | 'after';
}

/**
 * Fails attempts, as a listener would that throws: `providers: [FailAtRandom.with({ seed: 7, rate: 0.1 })]`. Shows that retries
 * work, and with `when: 'after'` that listeners stand doing their work twice. For tests and staging.
 */
@EnvelopePipeline()
export class FailAtRandom implements EnvelopePipeline {
  readonly #draws: SeededDraws;

  /** @throws EventingError EVT_INVALID_OPTIONS */
  constructor(private readonly options: FailAtRandomOptions) {
    checkChaos('FailAtRandom', options);
    this.#draws = new SeededDraws(options.seed);
  }

  /** For the `providers` of a module. */
  static with(options: FailAtRandomOptions): FactoryProvider<FailAtRandom> {
    return { provide: FailAtRandom, useFactory: () => new FailAtRandom(options) };
  }

  async handle(envelope: Envelope, listener: ListenerDescriptor, next: Next): Promise<void> {
    await this.#around([envelope], listener, next);
  }

  /** One event that is hit fails the batch. */
  async handleBatch(envelopes: readonly Envelope[], listener: ListenerDescriptor, next: Next): Promise<void> {
    await this.#around(envelopes, listener, next);
  }

  async #around(envelopes: readonly Envelope[], { name }: ListenerDescriptor, next: Next): Promise<void> {
    const { seed, rate, only, when = 'before' } = this.options;
    const hit = envelopes.filter((envelope) => this.#draws.draw(name, envelope) < rate)[0];
    const fails = hit !== undefined && only?.includes(name) !== false;
    if (!fails || when === 'after') await next();
    if (!fails) return;
    const text = `FailAtRandom (seed ${seed}) failed attempt ${hit.attempt} of "${hit.name}" ${hit.id} at ${name}, ${when} it was called.`;
    throw new EventingError('EVT_CHAOS', text);
  }
}
