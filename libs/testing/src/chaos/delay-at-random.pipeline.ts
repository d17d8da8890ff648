import type { FactoryProvider } from '@nestjs/common';
import {
  type Clock,
  type Envelope,
  EnvelopePipeline,
  EventingError,
  type ListenerDescriptor,
  type Next,
  systemClock,
} from 'nestjs-eventing';
import { type ChaosOptions, checkChaos } from './chaos.options.js';
import { SeededDraws } from './seeded.draws.js';

export interface DelayAtRandomOptions extends ChaosOptions {
  /** Longest delay in milliseconds. Keep it below the timeouts of the listeners. */
  readonly atMost: number;
  /** In tests `eventing.clock`, so that it takes no time. @default the system's */
  readonly clock?: Clock;
}

/**
 * Makes attempts wait before the listener is called: `providers: [DelayAtRandom.with({ seed: 7, rate: 1, atMost: 500 })]`. Events
 * of different keys change places; those of one key never do. For tests and staging.
 */
@EnvelopePipeline()
export class DelayAtRandom implements EnvelopePipeline {
  readonly #draws: SeededDraws;

  /** @throws EventingError EVT_INVALID_OPTIONS */
  constructor(private readonly options: DelayAtRandomOptions) {
    checkChaos('DelayAtRandom', options);
    if (!(options.atMost >= 0))
      throw new EventingError('EVT_INVALID_OPTIONS', `DelayAtRandom: atMost ${options.atMost} must be at least 0.`);
    this.#draws = new SeededDraws(options.seed);
  }

  /** For the `providers` of a module. */
  static with(options: DelayAtRandomOptions): FactoryProvider<DelayAtRandom> {
    return { provide: DelayAtRandom, useFactory: () => new DelayAtRandom(options) };
  }

  async handle(envelope: Envelope, listener: ListenerDescriptor, next: Next): Promise<void> {
    await this.#wait([envelope], listener);
    await next();
  }

  async handleBatch(envelopes: readonly Envelope[], listener: ListenerDescriptor, next: Next): Promise<void> {
    await this.#wait(envelopes, listener);
    await next();
  }

  async #wait(envelopes: readonly Envelope[], { name }: ListenerDescriptor): Promise<void> {
    const { rate, only, atMost, clock = systemClock } = this.options;
    const drawn = Math.min(...envelopes.map((envelope) => this.#draws.draw(name, envelope)));
    if (drawn >= rate || only?.includes(name) === false) return;
    // What is drawn is below the rate: scaled up, it is as random as before.
    const delay = (drawn / rate) * atMost;
    await new Promise<void>((resolve) => {
      const timer = clock.setTimeout(resolve, delay, true);
      // Who is told to stop, stops waiting.
      envelopes[0]?.signal.addEventListener('abort', () => {
        timer.cancel();
        resolve();
      });
    });
  }
}
