import { AbortSource, Envelope } from '../envelope/envelope.js';
import { EventHeaders } from '../envelope/event.headers.js';
import type { EventingContext } from '../envelope/eventing.context.js';
import type { Composed } from '../pipeline/compose.js';
import type { ListenerDescriptor } from '../registry/listener.descriptor.js';
import type { DecodedMessage } from '../wire/wire-format.js';
import type { DeliveryJob } from './delivery.job.js';
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
  ) {}

  /** `undefined`: done and well. A promise: it is still at it. Never throws. */
  run(
    job: DeliveryJob,
    message: DecodedMessage,
    body: object,
    listener: ListenerDescriptor,
  ): Promise<unknown> | Failure | undefined {
    job.abort = new AbortSource();
    const envelope = new Envelope(
      message,
      body,
      // A copy: what one attempt sets, the next must not find.
      EventHeaders.of(message.headers === undefined ? undefined : new Map(message.headers)),
      job.attempt,
      false,
      job.abort,
    );
    const scope = {
      correlationId: message.correlationId,
      causationId: message.id,
      headers: this.#inherited(message.headers),
    };
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

  #call(listener: ListenerDescriptor, body: object, envelope: Envelope): unknown {
    if (this.pipelines === undefined) return listener.invoke(body, envelope);
    return this.pipelines(envelope, listener, async () => {
      await listener.invoke(body, envelope);
    });
  }

  #inherited(headers: ReadonlyMap<string, string> | undefined): ReadonlyMap<string, string> | undefined {
    if (headers === undefined) return undefined;
    let inherited: Map<string, string> | undefined;
    for (const name of this.propagate) {
      const value = headers.get(name);
      if (value !== undefined) (inherited ??= new Map()).set(name, value);
    }
    return inherited;
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}
