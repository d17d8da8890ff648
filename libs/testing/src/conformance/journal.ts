import type { Envelope, EventClass, EventListener, ListenerOptions } from 'nestjs-eventing';
import type { Gate } from './gate.js';
import { type Sample, sampleId } from './sample.event.js';

/** One call of a listener. */
export interface Call {
  readonly service: string;
  readonly instance: string;
  readonly listener: string;
  readonly body: Sample;
  readonly envelope: Envelope<Sample>;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** `undefined` while it runs. */
  endedAt: number | undefined;
  /** It threw. */
  failed: boolean;
}

/** A listener of a case, before it belongs to a process. */
export interface ListenerPlan {
  readonly name: string;
  readonly events: readonly EventClass<Sample>[];
  readonly options: ListenerOptions;
  /** What is called in one process. */
  invokeIn(service: string, instance: string): EventListener['on'];
}

/** Writes down every call of the listeners that it made, over all processes of a case. */
export class Journal {
  readonly calls: Call[] = [];
  /** Where one key was handled while it was being handled, by one listener. */
  readonly overlaps: string[] = [];
  /** Greatest number of calls that ran at one time. */
  mostAtOnce = 0;
  readonly #running = new Set<Call>();

  /**
   * @param isDead whether the process of this instance was made to crash. It runs on inside ours, so its listeners are kept
   * from doing anything more: a call that runs never returns, and none begins.
   * @param grave where they wait, so that the end of the case can let them go
   */
  constructor(
    private readonly isDead: (instance: string) => boolean,
    private readonly grave: Gate,
  ) {}

  /** A listener that is written down here; `handle` decides how each call ends. */
  by(
    name: string,
    events: readonly EventClass<Sample>[],
    options: ListenerOptions = {},
    handle: (call: Call) => unknown = () => undefined,
  ): ListenerPlan {
    return {
      name,
      events,
      options,
      invokeIn: (service, instance) => (body, envelope) => {
        const call: Call = {
          service,
          instance,
          listener: name,
          body: body as Sample,
          envelope: envelope as Envelope<Sample>,
          startedAt: Date.now(),
          endedAt: undefined,
          failed: false,
        };
        return this.#run(call, handle);
      },
    };
  }

  get count(): number {
    return this.calls.length;
  }

  /** Calls that ended well: what a process had begun when it died is not among them. */
  get done(): Call[] {
    return this.calls.filter(({ endedAt, failed }) => endedAt !== undefined && !failed);
  }

  /** Calls of one listener, or of one instance, or of one in the other. */
  of(where: { readonly listener?: string; readonly instance?: string; readonly service?: string }): Call[] {
    const wanted = Object.entries(where) as [keyof typeof where, string][];
    return this.calls.filter((call) => wanted.every(([name, value]) => call[name] === value));
  }

  /** Different events among the calls. */
  distinct(calls: readonly Call[] = this.calls): number {
    return new Set(calls.map(({ body }) => sampleId(body))).size;
  }

  async #run(call: Call, handle: (call: Call) => unknown): Promise<void> {
    if (this.isDead(call.instance)) return this.grave.pass();
    this.#start(call);
    try {
      await handle(call);
      if (this.isDead(call.instance)) return await this.grave.pass();
    } catch (error) {
      call.failed = true;
      throw error;
    } finally {
      if (!this.isDead(call.instance)) call.endedAt = Date.now();
      this.#running.delete(call);
    }
  }

  #start(call: Call): void {
    this.calls.push(call);
    for (const other of this.#running)
      if (sameLane(call, other) && !this.isDead(other.instance))
        this.overlaps.push(
          `${sampleId(call.body)} began in ${call.instance} while ${sampleId(other.body)} ran in ${other.instance}`,
        );
    this.#running.add(call);
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#running.size);
  }
}

// By the body's key: the envelope's is the provider's to lose. Means nothing for events without a key.
function sameLane({ body, service, listener }: Call, other: Call): boolean {
  return body.key === other.body.key && listener === other.listener && service === other.service;
}
