import { EventingError } from 'nestjs-eventing';

/** A class with listeners: itself, or methods of it. */
export type ListenerClass = abstract new (...args: never[]) => object;

/** A listener by its class (with all listeners that are methods of it), or by its name or label. */
export type ListenerTarget = ListenerClass | string;

/** The event of a class that is a listener itself; of others, any. */
export type EventOf<L> = L extends abstract new (...args: never[]) => { on(event: infer T, ...rest: never[]): unknown }
  ? T extends object
    ? T
    : object
  : L extends abstract new (...args: never[]) => { onBatch(events: readonly (infer T)[], ...rest: never[]): unknown }
    ? T extends object
      ? T
      : object
    : object;

/** A listener, and the subscription that feeds it. */
export interface KnownListener {
  readonly label: string;
  readonly name: string;
  readonly subscription: string;
}

/** Which listeners a test means. */
export class ListenerChoice {
  readonly #label: string;
  readonly #matches: (label: string, name: string) => boolean;

  constructor(
    private readonly target: ListenerTarget,
    method?: string,
  ) {
    const type = typeof target === 'string' ? target : target.name;
    this.#label = method === undefined ? type : `${type}.${method}`;
    const labels = new Set([this.#label]);
    // The method of a class that is a listener itself goes by the name of the class.
    if (method === 'on' || method === 'onBatch') labels.add(type);
    this.#matches =
      typeof target === 'string'
        ? (label, name) => labels.has(label) || (method === undefined && name === target)
        : (label) => labels.has(label) || (method === undefined && label.startsWith(`${type}.`));
  }

  includes({ label, name }: Pick<KnownListener, 'label' | 'name'>): boolean {
    return this.#matches(label, name);
  }

  /** Of these listeners, the subscriptions of those meant. @throws EventingError EVT_UNKNOWN_LISTENER */
  among(listeners: readonly KnownListener[]): ReadonlySet<string> {
    const meant = listeners.filter((listener) => this.includes(listener));
    if (meant.length === 0) {
      const known = [...new Set(listeners.map(({ label }) => label))].join(', ');
      throw new EventingError(
        'EVT_UNKNOWN_LISTENER',
        `${this.#label} is no listener of an application under test; there ${known === '' ? 'is none' : `are ${known}`}: provide it in the module, or mend the name.`,
      );
    }
    const named = new Map<string, string>();
    for (const { label, name } of meant) {
      const twin = named.get(label) ?? name;
      if (typeof this.target !== 'string' && twin !== name)
        throw new EventingError(
          'EVT_UNKNOWN_LISTENER',
          `Two listeners are called ${label}: ask for one by its name, '${twin}' or '${name}'.`,
        );
      named.set(label, name);
    }
    return new Set(meant.map(({ subscription }) => subscription));
  }
}
