import { BatchError, type Envelope, type EnvelopePipeline, type ListenerDescriptor, type Next } from 'nestjs-eventing';
import type { ApplicationWatch } from './application.watch.js';
import type { ListenerFaults } from './listener.faults.js';

/** The outermost pipeline of an application under test: writes down each attempt, also one that a pipeline fails. */
export class AttemptObserver implements EnvelopePipeline {
  constructor(
    private readonly watch: ApplicationWatch,
    private readonly faults: ListenerFaults,
  ) {}

  handle(envelope: Envelope, listener: ListenerDescriptor, next: Next): Promise<void> {
    return this.#observe([envelope], listener, next);
  }

  handleBatch(envelopes: readonly Envelope[], listener: ListenerDescriptor, next: Next): Promise<void> {
    return this.#observe(envelopes, listener, next);
  }

  async #observe(envelopes: readonly Envelope[], listener: ListenerDescriptor, next: Next): Promise<void> {
    const ends = envelopes.map((envelope) => this.watch.began(envelope, listener));
    try {
      this.faults.strike(listener);
      await next();
      for (const end of ends) end();
    } catch (error) {
      const named = error instanceof BatchError ? new Map(error.failures.map((one) => [one.index, one])) : undefined;
      for (const [index, end] of ends.entries()) end(named === undefined ? { error } : named.get(index));
      throw error;
    }
  }
}
