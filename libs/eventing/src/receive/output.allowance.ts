import type { OutgoingMessage } from '../provider/event-provider.js';
import type { DeliveryJob } from './delivery.job.js';

/** Outputs, and bytes of their bodies, that may be kept for one source behind an event that is not settled. */
const MOST_OUTPUTS = 10_000;
const MOST_BYTES = 16 * 1024 * 1024;

/** The deliveries of one source. */
interface SourceOutputs {
  /** In order of arrival, from the oldest that is not settled on. */
  readonly jobs: DeliveryJob[];
  /** What they send, as far as it is known. */
  outputs: number;
  bytes: number;
  readonly waiting: Set<DeliveryJob>;
}

/**
 * Bounds what a provider has to keep whose outputs appear when all before them is settled (`abilities.gathersOutputs`): behind an event
 * that is slow they gather. Where there are too many of a source, only its oldest event has a turn; the others wait for it in their
 * lanes, and the provider's window ends the pulling. What is at work then may still add to them.
 */
export class OutputAllowance {
  readonly #sources = new Map<string, SourceOutputs>();

  constructor(
    /** Gives a job that waited its turn again. */
    private readonly again: (job: DeliveryJob) => void,
    private readonly most = { outputs: MOST_OUTPUTS, bytes: MOST_BYTES },
  ) {}

  arrived(job: DeliveryJob): void {
    const { source } = job.delivery;
    const known = this.#sources.get(source) ?? { jobs: [], outputs: 0, bytes: 0, waiting: new Set<DeliveryJob>() };
    known.jobs.push(job);
    this.#sources.set(source, known);
  }

  /** The oldest of its source always may: all others wait for it. */
  mayRun(job: DeliveryJob): boolean {
    const source = this.#sources.get(job.delivery.source);
    return source === undefined || source.jobs[0] === job || this.#hasRoom(source);
  }

  /** It holds its lane, and waits until it may run. */
  park(job: DeliveryJob): void {
    this.#sources.get(job.delivery.source)?.waiting.add(job);
  }

  /** It was handled, and this goes with its accept. */
  sends(job: DeliveryJob, outputs: readonly OutgoingMessage[]): void {
    const source = this.#sources.get(job.delivery.source);
    if (source === undefined) return;
    job.outputs = outputs.length;
    for (const { body } of outputs) job.outputBytes += body.byteLength;
    source.outputs += job.outputs;
    source.bytes += job.outputBytes;
  }

  /** It is settled, or is another's. */
  left(job: DeliveryJob): void {
    const name = job.delivery.source;
    const source = this.#sources.get(name);
    if (source === undefined) return;
    job.hasLeft = true;
    source.waiting.delete(job);
    while (source.jobs[0]?.hasLeft === true) {
      const { outputs, outputBytes } = source.jobs.shift() as DeliveryJob;
      source.outputs -= outputs;
      source.bytes -= outputBytes;
    }
    if (source.jobs.length === 0) this.#sources.delete(name);
    this.#wake(source);
  }

  #wake(source: SourceOutputs): void {
    const ready = [...source.waiting].filter((job) => this.mayRun(job));
    for (const job of ready) source.waiting.delete(job);
    for (const job of ready) this.again(job);
  }

  #hasRoom({ outputs, bytes }: SourceOutputs): boolean {
    return outputs < this.most.outputs && bytes < this.most.bytes;
  }
}
