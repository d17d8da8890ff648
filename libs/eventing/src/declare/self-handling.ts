import type { Envelope } from '../envelope/envelope.js';
import type { EventClass } from './metadata.js';

/** What an event that handles itself works with. */
export interface EventHandlingContext<T extends object = object> {
  readonly envelope: Envelope<T>;
  /**
   * A provider of the application, from whatever module. Singletons only; Nest's error where there is none.
   * @param token its class, or what it was provided under
   */
  get<P>(token: (abstract new (...args: never[]) => P) | string | symbol): P;
}

/** An event class that is its own listener: `EventingModule.forFeature([], { handlers: [OrderPlaced] })`. */
export interface SelfHandlingEvent {
  /** Same contract as `EventListener.on`; the event is `this`. */
  handle(context: EventHandlingContext): unknown;
}

export type SelfHandlingClass = EventClass<SelfHandlingEvent>;
