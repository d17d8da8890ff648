import { AbortSource, Envelope } from '../envelope/envelope.js';
import { EventHeaders } from '../envelope/event.headers.js';
import type { ContextScope, EventingContext } from '../envelope/eventing.context.js';
import type { Composed } from '../pipeline/compose.js';
import type { ListenerDescriptor } from '../registry/listener.descriptor.js';
import type { DecodedMessage } from '../wire/wire-format.js';
import { type BatchOutcome, batchOutcome } from './batch.outcome.js';
import type { DeliveryJob } from './delivery.job.js';
import type { DeliveryOutputs } from './delivery.outputs.js';
import type { ExceptionHandlers } from './exception.handlers.js';
import { Failure } from './failure.js';

/** One call of a listener: a fresh envelope, the pipelines around it, the context that it and all it calls inherit. */
export class AttemptRunner {
  constructor(
    private readonly context: EventingContext,
    /** `undefined` where no pipeline handles: then the listener is called straight away. */
    private readonly pipelines: Composed<Envelope, ListenerDescriptor> | undefined,
    /** Names of headers that what is sent inside carries on. */
    private readonly propagate: readonly string[],
    /** `undefined` where there are none. */
    private readonly exceptions?: ExceptionHandlers,
    private readonly batchPipelines?: Composed<readonly Envelope[], ListenerDescriptor>,
    /** What is handled is the past. */
    private readonly isReplay = false,
  ) {}

  /** `undefined`: done and well. A promise: it is still at it. Never throws. */
  run(
    job: DeliveryJob,
    message: DecodedMessage,
    body: object,
    listener: ListenerDescriptor,
  ): Promise<unknown> | Failure | undefined {
    job.abort = new AbortSource();
    const envelope = this.#envelope(message, body, job.attempt, job.abort);
    const scope = this.context.scopeOf(envelope, this.propagate);
    const { exceptions } = this;
    if (exceptions !== undefined)
      return this.context.runAlone(scope, async () => {
        try {
          await this.#call(listener, body, envelope);
        } catch (error) {
          await exceptions.judge(error, { envelope, listener });
        }
      });
    try {
      const result: unknown = this.context.runAlone(scope, () => this.#call(listener, body, envelope));
      if (result instanceof Promise) return result;
      return isThenable(result) ? Promise.resolve(result) : undefined;
    } catch (error) {
      return Failure.thrown(error);
    }
  }

  /**
   * The same inside a unit of work of its own. Rejects with what the listener threw, or an exception handler made of it; resolves with
   * the outputs that count: those given or, where a handler forgave the error, what it sent in their place.
   */
  async runIn(
    outputs: DeliveryOutputs,
    job: DeliveryJob,
    message: DecodedMessage,
    body: object,
    listener: ListenerDescriptor,
  ): Promise<DeliveryOutputs> {
    job.abort = new AbortSource();
    const envelope = this.#envelope(message, body, job.attempt, job.abort);
    const scope = this.context.scopeOf(envelope, this.propagate);
    const { exceptions } = this;
    const judge = exceptions && ((error: unknown) => exceptions.judge(error, { envelope, listener }));
    return this.#inside(outputs, scope, () => this.#call(listener, body, envelope), judge);
  }

  /**
   * The same with a batch listener.
   * @param alone it is one event that is handled alone: only then an exception handler is asked, since nobody else is undone with it
   */
  async runBatchIn(
    outputs: DeliveryOutputs,
    jobs: readonly DeliveryJob[],
    listener: ListenerDescriptor,
    alone: boolean,
  ): Promise<DeliveryOutputs> {
    const envelopes = this.#envelopes(jobs);
    const [only] = envelopes;
    const { exceptions } = this;
    const judged = alone && only !== undefined ? { envelope: only, listener } : undefined;
    const judge =
      exceptions && judged && ((error: unknown) => exceptions.judge(ownError(error, listener.label), judged));
    return this.#inside(outputs, this.#batchScope(envelopes), () => this.#callBatch(listener, envelopes), judge);
  }

  async #inside(
    outputs: DeliveryOutputs,
    scope: ContextScope,
    call: () => unknown,
    judge: ((error: unknown) => Promise<void>) | undefined,
  ): Promise<DeliveryOutputs> {
    const within = <T>(unitOfWork: DeliveryOutputs, work: () => T): T =>
      this.context.runAlone({ ...scope, unitOfWork }, work);
    try {
      await within(outputs, call);
      return outputs;
    } catch (error) {
      const instead = outputs.instead();
      if (judge === undefined) throw error;
      try {
        await within(instead, () => judge(error));
        return instead;
      } finally {
        instead.close();
      }
    }
  }

  /** Calls a batch listener with the bodies of these jobs, all of them read. Never rejects. */
  async runBatch(jobs: readonly DeliveryJob[], listener: ListenerDescriptor): Promise<BatchOutcome> {
    const envelopes = this.#envelopes(jobs);
    try {
      await this.context.runAlone(this.#batchScope(envelopes), () => this.#callBatch(listener, envelopes));
      return WELL;
    } catch (error) {
      const outcome = batchOutcome(error, listener.label, jobs.length);
      return outcome.kind === 'unknown' ? outcome : this.#judged(outcome.failures, envelopes, listener);
    }
  }

  #envelopes(jobs: readonly DeliveryJob[]): readonly Envelope[] {
    const abort = new AbortSource();
    return jobs.flatMap((job) => {
      job.abort = abort;
      const { message } = job.read ?? {};
      return message === undefined || job.body === undefined
        ? []
        : [this.#envelope(message, job.body, job.attempt, abort)];
    });
  }

  /** What many events cause has no one cause. `EventingContext.within` tells of which it is. */
  #batchScope(envelopes: readonly Envelope[]): ContextScope {
    const [only] = envelopes;
    return envelopes.length === 1 && only !== undefined ? this.context.scopeOf(only, this.propagate) : {};
  }

  async #callBatch(listener: ListenerDescriptor, envelopes: readonly Envelope[]): Promise<void> {
    const bodies = envelopes.map(({ body }) => body);
    if (this.batchPipelines === undefined) await listener.invokeBatch(bodies, envelopes);
    else
      await this.batchPipelines(envelopes, listener, async () => {
        await listener.invokeBatch(bodies, envelopes);
      });
  }

  async #judged(
    failures: ReadonlyMap<number, unknown>,
    envelopes: readonly Envelope[],
    listener: ListenerDescriptor,
  ): Promise<BatchOutcome> {
    const { exceptions } = this;
    if (exceptions === undefined) return { kind: 'known', failures };
    const left = new Map<number, unknown>();
    for (const [index, error] of failures) {
      const envelope = envelopes[index] as Envelope;
      await exceptions.judge(error, { envelope, listener }).catch((verdict: unknown) => left.set(index, verdict));
    }
    return { kind: 'known', failures: left };
  }

  #envelope(message: DecodedMessage, body: object, attempt: number, abort: AbortSource): Envelope {
    // A copy of the headers: what one attempt sets, the next must not find.
    const headers = EventHeaders.of(message.headers === undefined ? undefined : new Map(message.headers));
    return new Envelope(message, body, headers, attempt, this.isReplay, abort);
  }

  #call(listener: ListenerDescriptor, body: object, envelope: Envelope): unknown {
    if (this.pipelines === undefined) return listener.invoke(body, envelope);
    return this.pipelines(envelope, listener, () => promised(() => listener.invoke(body, envelope)));
  }
}

/** Of a batch of one: what it names, or whatever it is. */
function ownError(thrown: unknown, listener: string): unknown {
  const outcome = batchOutcome(thrown, listener, 1);
  return outcome.kind === 'known' ? outcome.failures.get(0) : outcome.error;
}

const WELL: BatchOutcome = { kind: 'known', failures: new Map() };

/** As an async function, without a promise of its own around one that is there. */
function promised(call: () => unknown): Promise<void> {
  try {
    const result = call();
    return (result instanceof Promise ? result : Promise.resolve(result)) as Promise<void>;
  } catch (error) {
    return Promise.reject(error);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}
