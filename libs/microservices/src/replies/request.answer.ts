import { type Envelope, EventingError, type EventingRuntime, RejectEvent } from 'nestjs-eventing';
import { isObservable, type Observable, type Subscription } from 'rxjs';
import type { EventingRpcContext } from '../eventing.rpc-context.js';
import type { Handler } from '../handlers/handler.table.js';
import { FOREIGN_REQUEST } from '../packets/nest.packets.js';
import { isReplyChannel, Reply, REPLY_BEFORE, replyEvent, REPLY_INSTANCE, REPLY_TO } from './reply.js';

/** Services whose requests one process answers: a reply channel costs a topic, and its name comes from outside. */
const MOST_CHANNELS = 256;

/** Where the answer to a request goes. */
interface Destination {
  readonly channel: string;
  readonly instance: string;
  readonly id: string;
}

export const isRequest = (envelope: Envelope): boolean =>
  envelope.headers.has(REPLY_TO) || envelope.headers.has(FOREIGN_REQUEST);

/** Answers requests: the handler's values, one reply each, then its end or its error. */
export class RequestAnswers {
  readonly #channels = new Set<string>();

  constructor(private readonly runtime: EventingRuntime) {}

  /**
   * Calls the handler and resolves when the last reply is stored. What the handler throws is an answer too.
   * @throws RejectEvent (EVT_REQUEST_REFUSED as its cause) where no answer can be given; what a send throws
   */
  async answer(handler: Handler, data: unknown, context: EventingRpcContext): Promise<void> {
    const to = this.#destination(context.getEnvelope());
    try {
      const result: unknown = await handler.callback(data, context);
      if (isObservable(result)) await this.#stream(result, to, context.getEnvelope().signal);
      else await this.#reply(to, { response: result, isDisposed: true });
    } catch (error) {
      const end = this.#reply(to, { err: told(error), isDisposed: true });
      if (!(error instanceof SendFailed)) return end;
      // What has no JSON form must not keep the asker waiting; where nothing can be sent, its timeout tells it.
      await end.catch(() => undefined);
      throw error.cause;
    }
  }

  /** Values go out as they come, in order; the bound is that of the publish buffer. One that did not go out ends it. */
  #stream(result: Observable<unknown>, to: Destination, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      // The last value says that it is the last, where that is known before the turn is over: most answers have one value.
      let held: { readonly response: unknown } | undefined;
      let over = false;
      const end = (settle: () => void): void => {
        if (over) return;
        over = true;
        signal.removeEventListener('abort', aborted);
        subscription?.unsubscribe();
        settle();
      };
      const flush = (): void => {
        if (held === undefined || over) return;
        const part = held;
        held = undefined;
        this.#reply(to, part).catch((error: unknown) => end(() => reject(error)));
      };
      const aborted = (): void => end(() => reject(signal.reason as Error));
      signal.addEventListener('abort', aborted, { once: true });
      let subscription: Subscription | undefined;
      subscription = result.subscribe({
        next: (response: unknown) => {
          flush();
          held = { response };
          queueMicrotask(flush);
        },
        error: (error: unknown) => {
          flush();
          end(() => reject(error));
        },
        complete: () => {
          const last = { ...held, isDisposed: true };
          end(() => resolve(this.#reply(to, last)));
        },
      });
      if (over) subscription.unsubscribe();
      else if (signal.aborted) aborted();
    });
  }

  async #reply({ channel, instance, id }: Destination, part: Omit<Reply, 'id'>): Promise<void> {
    const type = replyEvent(this.runtime.registry, channel);
    try {
      await this.runtime.events.sendEvent(type, { id, ...part }, { headers: { [REPLY_INSTANCE]: instance } });
    } catch (cause) {
      throw new SendFailed(cause as Error);
    }
  }

  #destination(envelope: Envelope): Destination {
    const { headers, id, name } = envelope;
    const channel = headers.get(REPLY_TO);
    const instance = headers.get(REPLY_INSTANCE);
    const before = Number(headers.get(REPLY_BEFORE));
    if (channel === undefined)
      throw refused(name, 'its sender is no EventingClient, and waits where no reply can be sent');
    if (!isReplyChannel(channel) || instance === undefined)
      throw refused(name, `it wants its reply on "${channel.slice(0, 200)}", which is no reply channel`);
    if (before <= this.runtime.options.clock.now()) throw refused(name, 'nobody waits for it any more');
    if (!this.#channels.has(channel)) {
      if (this.#channels.size >= MOST_CHANNELS)
        throw refused(name, `it would be the ${MOST_CHANNELS + 1}th reply channel of this process`);
      this.#channels.add(channel);
    }
    return { channel, instance, id };
  }
}

/** A reply that did not go out: no answer to answer with. */
class SendFailed extends Error {
  constructor(override readonly cause: Error) {
    super('a reply was not sent');
  }
}

/** No retry would mend it. */
function refused(name: string, why: string): RejectEvent {
  const cause = new EventingError('EVT_REQUEST_REFUSED', `The request "${name}" cannot be answered: ${why}.`);
  return new RejectEvent(cause.message, { cause });
}

/** Nest's own filters have made a reply of it; an error that came another way tells no more than they would. */
function told(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  return { status: 'error', message: error instanceof EventingError ? error.message : 'Internal server error' };
}
