import { Injectable } from '@nestjs/common';
import type { Envelope } from '../envelope/envelope.js';
import type { EventDescriptor } from '../registry/event.descriptor.js';
import type { ListenerDescriptor } from '../registry/listener.descriptor.js';
import { metadata } from './metadata.js';

/** Goes on to the next pipeline, in the end to serialization or the listener. To be called exactly once. */
export type Next = () => Promise<void>;

/**
 * What happens around every send and every delivery of an application. Each method may be left out. A throw fails the
 * send, or the attempt.
 */
export interface EnvelopePipeline {
  /**
   * Runs before validation and serialization. Return (or await) `next()`. The event has its place in the order of its key
   * already: a pipeline that awaits another send of the same channel and key before `next()` waits for itself.
   */
  send?(envelope: Envelope, event: EventDescriptor, next: Next): Promise<void>;
  /** Runs after deserialization and validation, around the listener, at each attempt. Return (or await) `next()`. */
  handle?(envelope: Envelope, listener: ListenerDescriptor, next: Next): Promise<void>;
  /** The same around a listener that takes batches. A pipeline with `handle` needs it where there is such a listener. */
  handleBatch?(envelopes: readonly Envelope[], listener: ListenerDescriptor, next: Next): Promise<void>;
}

/**
 * Marks an injectable class as a pipeline. The one registered last is outermost; `forRoot({ pipelines: [Outer, Inner] })`
 * decides where it matters.
 */
export function EnvelopePipeline(): ClassDecorator {
  return (type) => {
    metadata.setPipeline(type);
    if (!metadata.isInjectable(type)) Injectable()(type);
  };
}
