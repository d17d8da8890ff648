import { Injectable } from '@nestjs/common';
import type { Envelope } from '../envelope/envelope.js';
import type { StartPosition } from '../provider/event-provider.js';
import type { RetryOptions } from '../receive/retry.policy.js';
import { type EventClass, metadata } from './metadata.js';

export interface BatchOptions {
  /** Events that come together at most, 1 to 10000. @default 100 */
  readonly size?: number;
  /** Milliseconds for which the first of a batch waits for company, at most 60000. @default 10 */
  readonly wait?: number;
}

export interface ListenerOptions {
  /**
   * Names the subscription: part of queue and group names, so it must not change while events wait there.
   * @default the class name (for a method: `Class.method`)
   */
  readonly name?: string;
  /**
   * A subscription shared with other listeners of other events: one consumer, one set of lanes.
   * @default the listener's name
   */
  readonly group?: string;
  /** Every process gets every event, from now on, instead of sharing them. @default false */
  readonly perProcess?: boolean;
  /** Events (batches, where it takes them) handled at one time. A key is never handled twice at one time. @default 16; batches 1 */
  readonly concurrency?: number;
  /**
   * Events taken from one source (a partition, a queue) and not yet settled.
   * @default 256, or twice the size of a batch if that is more
   */
  readonly window?: number;
  /** Events come in batches, to `onBatch` (see `BatchEventListener`). @default one by one */
  readonly batch?: BatchOptions;
  readonly retry?: RetryOptions;
  /**
   * Milliseconds after which an attempt is called failed and its `signal` aborts. @default 60000
   */
  readonly timeout?: number;
  /** Milliseconds for which a timed-out attempt keeps its lane, waiting for it to return. @default 30000 */
  readonly timeoutGrace?: number;
  /** The position outlives the process. @default true, and false with `perProcess` */
  readonly durable?: boolean;
  /** Where a subscription without a position begins. @default 'first-subscription' */
  readonly from?: StartPosition;
  /**
   * `at-most-once` settles before the listener is called. `exactly-once`: what it sends and that it has handled the event hold together,
   * by the provider's transactions; with an inbox, what it writes there too. See `docs/guarantees.md`. @default 'at-least-once'
   */
  readonly guarantee?: 'at-least-once' | 'at-most-once' | 'exactly-once';
  /**
   * `sequenced`: while an event of a key is a dead letter, later ones of that key wait behind it and are not handled; redriving the first
   * releases them in order. For events with a key, where dead letters are in a store that all processes share. @default 'single'
   */
  readonly deadLetters?: 'single' | 'sequenced';
  /** False: `EventReplays` refuses to show it the past again. @default true */
  readonly replay?: boolean;
  /** How far key order must reach. @default 'cluster' if an event has a key, else 'none' */
  readonly order?: 'none' | 'process' | 'cluster';
  /**
   * Events on the channel that nobody here asked for.
   * @default 'skip', and 'dead-letter' where the channel has one event only
   */
  readonly unknown?: 'skip' | 'dead-letter';
}

/** A provider that handles events: `@EventListener(OrderPlaced) class X implements EventListener<OrderPlaced>`. */
export interface EventListener<T extends object = object> {
  /**
   * Handles one event. What it returns is ignored; when it (or its promise) is done the event is accepted. A throw means
   * retry, then dead letter; throw `RejectEvent` for what no retry will mend.
   */
  on(event: T, envelope: Envelope<T>): unknown;
}

/** A provider that handles events together: `@EventListener(OrderPlaced, { batch: { size: 100 } })`. */
export interface BatchEventListener<T extends object = object> {
  /**
   * Handles events together, those of a key in order; `envelopes` has one for each. When it is done, all are. Throw `BatchError` to
   * name those that failed: each goes its own way then. After any other throw each event is handled once more, alone.
   */
  onBatch(events: readonly T[], envelopes: readonly Envelope<T>[]): unknown;
}

/**
 * Marks a class with `on(event, envelope)`, or a method of any provider, as a listener of one or several events. Each
 * listener is a subscription of its own and gets its own copy of each event.
 */
export function EventListener(
  events: EventClass | readonly EventClass[],
  options: ListenerOptions = {},
): ClassDecorator & MethodDecorator {
  const declaration = { events: Array.isArray(events) ? (events as EventClass[]) : [events as EventClass], options };
  return (target: object, method?: string | symbol): void => {
    metadata.setListener(target, method, declaration);
    if (typeof target === 'function' && !metadata.isInjectable(target)) Injectable()(target);
  };
}
