import type { EventOptions } from '../declare/event.decorator.js';
import type { ListenerOptions } from '../declare/event-listener.decorator.js';
import { EventingError } from '../errors/eventing.error.js';

/** What a configuration may say of an event; its name and version are what it is found by. */
export type EventOverride = Partial<Omit<EventOptions, 'name' | 'version'>>;

// Records, so that the compiler sees to it that no option is forgotten here.
const EVENT: Record<keyof EventOverride, true> = {
  channel: true,
  key: true,
  provider: true,
  durable: true,
  wire: true,
  serializer: true,
  schema: true,
  unknownFields: true,
  upcast: true,
};
const LISTENER: Record<keyof ListenerOptions, true> = {
  name: true,
  group: true,
  perProcess: true,
  concurrency: true,
  window: true,
  batch: true,
  retry: true,
  timeout: true,
  timeoutGrace: true,
  durable: true,
  from: true,
  guarantee: true,
  order: true,
  unknown: true,
  deadLetters: true,
  replay: true,
};

/** Options given by name over those of decorators, and which of the names nobody has. */
export class Overrides<O extends object> {
  readonly #unused: Set<string>;

  private constructor(
    private readonly option: 'events' | 'listeners',
    private readonly given: Readonly<Record<string, O>>,
    private readonly known: Readonly<Record<string, true>>,
  ) {
    this.#unused = new Set(Object.keys(given));
  }

  static ofEvents(given: Readonly<Record<string, EventOverride>> = {}): Overrides<EventOverride> {
    return new Overrides('events', given, EVENT);
  }

  static ofListeners(given: Readonly<Record<string, ListenerOptions>> = {}): Overrides<ListenerOptions> {
    return new Overrides('listeners', given, LISTENER);
  }

  /** What is given under these names over `declared`, the later over the earlier. An option that is `undefined` is not given. */
  over<D extends object>(declared: D, ...names: readonly string[]): D {
    let result = declared;
    for (const name of names) {
      const override = Object.hasOwn(this.given, name) ? this.given[name] : undefined;
      if (override === undefined) continue;
      this.#unused.delete(name);
      result = merged(result, override);
    }
    return result;
  }

  /** Options that do not exist, and options that are none: what a configuration file may hold. */
  *malformed(): Iterable<string> {
    for (const [name, override] of Object.entries<unknown>(this.given)) {
      if (typeof override !== 'object' || override === null)
        yield `${this.option}["${name}"] must be an object of options`;
      else
        for (const key of Object.keys(override))
          if (!Object.hasOwn(this.known, key))
            yield `${this.option}["${name}"].${key} is no option: there are ${Object.keys(this.known).join(', ')}`;
    }
  }

  /** Names that nothing was found for. @param known the names there are */
  *unmatched(known: readonly string[]): Iterable<EventingError> {
    const hint = this.option === 'events' ? ' (one that is only sent is known by forFeature)' : '';
    for (const name of this.#unused)
      yield new EventingError(
        'EVT_UNKNOWN_OVERRIDE',
        `EventingModule: ${this.option}["${name}"] names none of this application's ${this.option}${hint}: ${known.length === 0 ? 'none could be read' : `there are ${known.join(', ')}`}.`,
      );
  }
}

/** What `backoff` and these say alike: whoever gives the one takes the other back. */
const PAUSES = ['delay', 'factor', 'maxDelay'];

/** One level deep, for `retry` and `batch`. */
function merged<D extends object>(declared: D, override: object): D {
  const result = { ...declared } as Record<string, unknown>;
  if ('backoff' in override) for (const pause of PAUSES) delete result[pause];
  else if (PAUSES.some((pause) => pause in override)) delete result['backoff'];
  for (const [key, value] of Object.entries(override)) {
    if (value === undefined) continue;
    const before = result[key];
    result[key] = isOptions(key) && isObject(before) && isObject(value) ? merged(before, value) : value;
  }
  return result as D;
}

const isOptions = (key: string): boolean => key === 'retry' || key === 'batch';
const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;
