import type { Envelope } from '../envelope/envelope.js';
import type { EventingError } from '../errors/eventing.error.js';
import type { Composed } from '../pipeline/compose.js';
import { foldPipelines, type FoundPipeline } from '../pipeline/fold.js';
import type { FoundExceptionHandler } from '../receive/exception.handlers.js';
import type { EventDescriptor } from '../registry/event.descriptor.js';
import type { EventRegistry } from '../registry/event.registry.js';
import type { ListenerDefinition } from '../registry/listener.descriptor.js';
import { type EventingObserver, foldObservers } from './eventing.observer.js';

/** What an application is made of, found when it is first needed. */
export interface Discovered {
  /** Outermost first. */
  readonly pipelines: readonly FoundPipeline[];
  readonly listeners: readonly ListenerDefinition[];
  /** @default none */
  readonly observers?: readonly EventingObserver[];
  /** @default none */
  readonly exceptionHandlers?: readonly FoundExceptionHandler[];
  /** What is wrong with what was found; any of it refuses the start. */
  readonly problems: readonly EventingError[];
}

/** Finds listeners by other means than discovery: a bridge to another framework's handlers. */
export type ListenerSource = (registry: EventRegistry) => Pick<Discovered, 'listeners' | 'problems'>;

/** What stands in the way of every send, folded. `undefined`: nothing. */
interface Outward {
  readonly send: Composed<Envelope, EventDescriptor> | undefined;
  readonly observer: EventingObserver | undefined;
}

/** What was found in the application, by discovery and by those who were added; looked for once, and again when told. */
export class Findings {
  readonly #sources: ListenerSource[] = [];
  #found: Discovered | undefined;
  #outward: Outward | undefined;

  constructor(
    private readonly registry: EventRegistry,
    private readonly discover: (registry: EventRegistry) => Discovered,
    private readonly warn: (text: string) => void,
  ) {}

  /** Asked as discovery is, after it. */
  add(source: ListenerSource): void {
    this.#sources.push(source);
    this.forget();
  }

  /** Perhaps not everything was there yet. */
  forget(): void {
    this.#found = undefined;
    this.#outward = undefined;
  }

  find(): Discovered {
    if (this.#found !== undefined) return this.#found;
    const found = this.discover(this.registry);
    const added = this.#sources.map((source) => source(this.registry));
    this.#found = {
      ...found,
      listeners: [...found.listeners, ...added.flatMap(({ listeners }) => listeners)],
      problems: [...found.problems, ...added.flatMap(({ problems }) => problems)],
    };
    return this.#found;
  }

  outward(): Outward {
    if (this.#outward !== undefined) return this.#outward;
    const { pipelines, observers = [] } = this.find();
    this.#outward = { send: foldPipelines(pipelines, 'send'), observer: foldObservers(observers, this.warn) };
    return this.#outward;
  }
}
