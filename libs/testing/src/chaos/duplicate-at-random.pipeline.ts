import type { FactoryProvider } from '@nestjs/common';
import { type Envelope, EnvelopePipeline, type EventDescriptor, EventManager, type Next } from 'nestjs-eventing';
import { type ChaosOptions, checkChaos } from './chaos.options.js';
import { SeededDraws } from './seeded.draws.js';

export type DuplicateAtRandomOptions = ChaosOptions;

/**
 * Sends events twice, with one id, as a sender does that heard no answer: `providers: [DuplicateAtRandom.with({ seed: 7, rate: 0.1 })]`.
 * Shows that listeners stand it. On any broker, so also in staging; in a test, `eventing.faults.duplicateNext()` says which.
 */
@EnvelopePipeline()
export class DuplicateAtRandom implements EnvelopePipeline {
  readonly #draws: SeededDraws;
  /** Ids of copies that are on their way here. */
  readonly #copies = new Set<string>();

  /** @throws EventingError EVT_INVALID_OPTIONS */
  constructor(
    private readonly options: DuplicateAtRandomOptions,
    private readonly events: EventManager,
  ) {
    checkChaos('DuplicateAtRandom', options);
    this.#draws = new SeededDraws(options.seed);
  }

  /** For the `providers` of a module. */
  static with(options: DuplicateAtRandomOptions): FactoryProvider<DuplicateAtRandom> {
    return {
      provide: DuplicateAtRandom,
      inject: [EventManager],
      useFactory: (events: EventManager) => new DuplicateAtRandom(options, events),
    };
  }

  send(envelope: Envelope, event: EventDescriptor, next: Next): Promise<void> {
    const { rate, only } = this.options;
    const isCopy = this.#copies.delete(envelope.id);
    if (!isCopy && this.#draws.draw(event.name, envelope) < rate && only?.includes(event.name) !== false)
      this.#copy(envelope, event);
    return next();
  }

  /** Takes its place right behind the event, which is not there yet: nobody waits for it. */
  #copy({ id, key, correlationId, headers, time, notBefore, expiresAt, body }: Envelope, event: EventDescriptor): void {
    this.#copies.add(id);
    // The context, in which the copy is sent too, hands on the trace.
    const own = [...headers].filter(([name]) => name !== 'traceparent' && name !== 'tracestate');
    const expiresIn = expiresAt === undefined ? undefined : expiresAt - (notBefore ?? time);
    const sending = this.events.sendEvent(event.type, body, {
      id,
      correlationId,
      headers: Object.fromEntries(own),
      ...(key === undefined ? {} : { key }),
      ...(notBefore === undefined ? {} : { notBefore }),
      ...(expiresIn === undefined ? {} : { expiresIn }),
    });
    // What is wrong with a copy is wrong with the event, whose sender hears of it.
    sending.catch(() => undefined).finally(() => this.#copies.delete(id));
  }
}
