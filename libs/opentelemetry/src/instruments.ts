import { type Counter, type Histogram, metrics, type Tracer, trace } from '@opentelemetry/api';
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

  constructor() {
    const meter = metrics.getMeter(NAME);
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
}

/** `error.type`: the stable code of ours, else the class. */
export function errorType(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string')
    return error.code;
  return error instanceof Error ? error.name : typeof error;
}

/** For the status of a span. */
export const errorMessage = (error: unknown): string =>
  error instanceof Error ? error.message : `a ${typeof error} was thrown`;
