import { EventingError, type ListenerDescriptor } from 'nestjs-eventing';
import type { ListenerChoice } from './listener.target.js';

interface Rule {
  readonly choice: ListenerChoice;
  readonly error: () => unknown;
  left: number;
}

/** What is to fail the next attempts of listeners. Rules are used up in the order they were made. */
export class ListenerFaults {
  #rules: Rule[] = [];

  add(choice: ListenerChoice, times: number, error: (() => unknown) | undefined): void {
    if (times > 0) this.#rules.push({ choice, error: error ?? told, left: times });
  }

  /** Throws where this attempt is to fail. */
  strike(listener: ListenerDescriptor): void {
    const rule = this.#rules.find(({ choice }) => choice.includes(listener));
    if (rule === undefined) return;
    if (--rule.left === 0) this.#rules = this.#rules.filter((other) => other !== rule);
    throw rule.error();
  }

  clear(): void {
    this.#rules = [];
  }
}

const told = (): EventingError =>
  new EventingError('EVT_CHAOS', 'The listener was not called: the test said so, by faults.failNext().');
