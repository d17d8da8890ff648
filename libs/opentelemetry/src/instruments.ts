import {
  type Counter,
  createNoopMeter,
  type Histogram,
  metrics,
  ProxyTracerProvider,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { DURATION_BUCKETS, METRIC } from './semantic.conventions.js';

const NAME = 'nestjs-eventing';

/** What spans and figures are written with: whatever SDK the application has registered, or nothing. */
export class Instruments {
  readonly tracer: Tracer = trace.getTracer(NAME);
  readonly sent: Counter;
  readonly operationDuration: Histogram;
  readonly consumed: Counter;
  readonly processDuration: Histogram;
  readonly deadLetters: Counter;
  #live: boolean;

  constructor() {
    const meter = metrics.getMeter(NAME);
    this.#live = meter !== createNoopMeter();
    const duration = (name: string, description: string): Histogram =>
      meter.createHistogram(name, {
        description,
        unit: 's',
        advice: { explicitBucketBoundaries: DURATION_BUCKETS },
      });
    const count = (name: string, description: string): Counter =>
      meter.createCounter(name, { description, unit: '{message}' });
    this.sent = count(METRIC.sent, 'Events that were given to the broker, or failed to be.');
    this.operationDuration = duration(METRIC.operationDuration, 'From sendEvent() to the answer of the broker.');
    this.consumed = count(METRIC.consumed, 'Events given to listeners, each attempt counted.');
    this.processDuration = duration(METRIC.processDuration, 'What a listener and the pipelines inside took.');
    this.deadLetters = count(METRIC.deadLetters, 'Events that became dead letters.');
  }

  /** Somebody listens. Figures need an SDK that was there first, traces take one that comes later. */
  get live(): boolean {
    return (this.#live ||= traced());
  }
}

/** Where no SDK is registered, the provider of the API hands out one that does nothing: the same to all. */
function traced(): boolean {
  const provider = trace.getTracerProvider();
  return !(provider instanceof ProxyTracerProvider) || provider.getDelegate() !== NOBODY.getDelegate();
}
const NOBODY = new ProxyTracerProvider();

/** `error.type`: the stable code of ours, else the class. */
export function errorType(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string')
    return error.code;
  return error instanceof Error ? error.name : typeof error;
}

/** For the status of a span. */
export const errorMessage = (error: unknown): string =>
  error instanceof Error ? error.message : `a ${typeof error} was thrown`;
