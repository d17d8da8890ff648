import type { EnvelopePipeline } from '../declare/envelope-pipeline.decorator.js';
import type { Envelope } from '../envelope/envelope.js';
import type { EventDescriptor } from '../registry/event.descriptor.js';
import type { ListenerDescriptor } from '../registry/listener.descriptor.js';
import { type Composed, compose, type Step } from './compose.js';

/** A pipeline as it was found. */
export interface FoundPipeline {
  /** For messages: its class. */
  readonly label: string;
  readonly pipeline: EnvelopePipeline;
}

/** What each method of a pipeline runs on, and around. */
interface Folded {
  send: Composed<Envelope, EventDescriptor>;
  handle: Composed<Envelope, ListenerDescriptor>;
  handleBatch: Composed<readonly Envelope[], ListenerDescriptor>;
}

/** One function of all pipelines, outermost first. `undefined` where none has the method: nothing bound costs nothing. */
export function foldPipelines<M extends keyof Folded>(
  found: readonly FoundPipeline[],
  method: M,
): Folded[M] | undefined {
  const steps = found.flatMap(({ label, pipeline }) => {
    const run: Step<never, never>['run'] | undefined = pipeline[method]?.bind(pipeline);
    return run === undefined ? [] : [{ name: `${label}.${method}`, run }];
  });
  return steps.length === 0 ? undefined : (compose(steps) as Folded[M]);
}
