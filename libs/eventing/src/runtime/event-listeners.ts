import type { EventListener, ListenerOptions } from '../declare/event-listener.decorator.js';
import type { EventClass } from '../declare/metadata.js';
import type { StoppedAt } from '../receive/listener.stop.js';
import type { ListenerAnnouncement } from './announcement.js';

/** A listener of this process, and how it fares. */
export interface ListenerStatus extends ListenerAnnouncement {
  /** Its name: what configuration, `pause` and `resume` know it by. */
  readonly name: string;
  readonly paused: boolean;
  /** Where it has stopped, under `retry.exhausted: 'stop'`, and why; until it is resumed. */
  readonly stopped?: StoppedAt;
}

/** A listener that was added while the application runs. */
export interface ListenerSubscription {
  readonly name: string;
  /**
   * Takes nothing new, waits for what is being handled (at most `drain`), and leaves. A durable subscription goes on collecting: it
   * is there when somebody subscribes by this name again. Idempotent.
   */
  unsubscribe(): Promise<void>;
}

/** What `subscribe` needs to know; the name is not to be guessed, since it names the subscription. */
export type SubscribeOptions = Omit<ListenerOptions, 'name' | 'group' | 'batch'> & { readonly name: string };

/** The listeners of a running application: see them, pause them, add and remove some. Injectable. */
export abstract class EventListeners {
  /** Every listener that runs in this process. */
  abstract list(): readonly ListenerStatus[];

  /**
   * Delivers nothing more to the listener in this process; what is being handled is finished. Listeners that share a group pause
   * together. @throws EventingError EVT_UNKNOWN_LISTENER
   */
  abstract pause(name: string): void;

  /** Goes on, also where it has stopped: what it stopped at is tried again. @throws EventingError EVT_UNKNOWN_LISTENER */
  abstract resume(name: string): void;

  /**
   * Adds a listener. Resolves when its position is fixed: what is sent afterwards reaches it. Everything that the start checks is
   * checked here. It has no Nest enhancers; pipelines and exception handlers run.
   * @throws EventingError what a start throws; EVT_NOT_RUNNING
   */
  abstract subscribe<T extends object>(
    events: EventClass<T> | readonly EventClass<T>[],
    handler: EventListener<T>['on'],
    options: SubscribeOptions,
  ): Promise<ListenerSubscription>;
}
