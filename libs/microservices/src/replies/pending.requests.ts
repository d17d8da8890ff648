import { randomUUID } from 'node:crypto';
import type { WritePacket } from '@nestjs/microservices';
import { type Clock, EventingError, type Timer } from 'nestjs-eventing';
import type { Reply } from './reply.js';

export type Answer = (packet: WritePacket) => void;

interface Pending {
  /** Whose it is, where several clients share a runtime. */
  readonly owner: object;
  readonly pattern: string;
  readonly timeout: number;
  readonly answer: Answer;
  timer: Timer;
}

/** Requests that wait for their answers, each for a bounded time. */
export class PendingRequests {
  readonly #open = new Map<string, Pending>();

  constructor(
    private readonly clock: Clock,
    private readonly most: number,
  ) {}

  get size(): number {
    return this.#open.size;
  }

  /** Opens one, and returns its id. @throws EventingError EVT_BUFFER_FULL */
  open(owner: object, pattern: string, timeout: number, answer: Answer): string {
    if (this.#open.size >= this.most) {
      const text = `${this.most} requests wait for an answer, the next is "${pattern}": send fewer at one time, or raise maxRequests.`;
      throw new EventingError('EVT_BUFFER_FULL', text);
    }
    const id = randomUUID();
    this.#open.set(id, { owner, pattern, timeout, answer, timer: this.#timer(id, timeout) });
    return id;
  }

  /** A part of an answer. One that nobody waits for any more, or that another process waits for, is passed over. */
  take({ id, response, err, isDisposed }: Reply): void {
    const pending = this.#open.get(id);
    if (pending === undefined) return;
    const isLast = isDisposed === true || (err !== undefined && err !== null);
    if (isLast) this.close(id);
    else {
      pending.timer.cancel();
      pending.timer = this.#timer(id, pending.timeout);
    }
    pending.answer({ err, response, isDisposed: isLast });
  }

  fail(id: string, err: unknown): void {
    const pending = this.#open.get(id);
    this.close(id);
    pending?.answer({ err, isDisposed: true });
  }

  failAll(owner: object, err: unknown): void {
    for (const [id, pending] of [...this.#open]) if (pending.owner === owner) this.fail(id, err);
  }

  /** Nobody wants the rest. */
  close(id: string): void {
    this.#open.get(id)?.timer.cancel();
    this.#open.delete(id);
  }

  #timer(id: string, timeout: number): Timer {
    const late = (): void => {
      const pattern = this.#open.get(id)?.pattern ?? '';
      const text = `"${pattern}" was not answered within ${timeout} ms: see that a service with its @MessagePattern() runs, or raise timeout.`;
      this.fail(id, new EventingError('EVT_REQUEST_TIMEOUT', text));
    };
    return this.clock.setTimeout(late, timeout, true);
  }
}
