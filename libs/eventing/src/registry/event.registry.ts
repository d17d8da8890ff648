import type { EventOptions } from '../declare/event.decorator.js';
import { type EventClass, metadata } from '../declare/metadata.js';
import { EventingError } from '../errors/eventing.error.js';
import { type EventOverride, Overrides } from './overrides.js';
import { bodyValidatorFor } from '../wire/body.validator.js';
import { cloudEvents } from '../wire/cloudevents.wire-format.js';
import { json } from '../wire/json.serializer.js';
import type { EventDescriptor } from './event.descriptor.js';

const UNKNOWN_FIELDS: readonly string[] = ['reject', 'strip', 'keep'];
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/;

/** The events of one application, by class, by name and version, by channel. Classes register when first used. */
export class EventRegistry {
  readonly #byClass = new Map<unknown, EventDescriptor>();
  readonly #byName = new Map<string, Map<number, EventDescriptor>>();
  readonly #byChannel = new Map<string, EventDescriptor[]>();

  /** @param overrides what the configuration says of events, by name or `name@version`. @default nothing */
  constructor(private readonly overrides: Overrides<EventOverride> = Overrides.ofEvents()) {}

  /** @throws EventingError EVT_NOT_AN_EVENT, EVT_DUPLICATE_EVENT, EVT_CHANNEL_CONFLICT, EVT_INVALID_EVENT_OPTIONS */
  describe(type: EventClass): EventDescriptor {
    return this.#byClass.get(type) ?? this.#register(type);
  }

  find(name: string, version: number): EventDescriptor | undefined {
    return this.#byName.get(name)?.get(version);
  }

  /** Versions known of a name, ascending; empty where the name is unknown. */
  versions(name: string): number[] {
    return [...(this.#byName.get(name)?.keys() ?? [])].sort((a, b) => a - b);
  }

  onChannel(channel: string): readonly EventDescriptor[] {
    return this.#byChannel.get(channel) ?? [];
  }

  all(): readonly EventDescriptor[] {
    return [...this.#byClass.values()];
  }

  #register(type: EventClass): EventDescriptor {
    const options = typeof type === 'function' ? metadata.event(type) : undefined;
    if (options === undefined)
      throw new EventingError(
        'EVT_NOT_AN_EVENT',
        `${className(type)} is not an event: decorate the class with @Event().`,
      );
    const name = options.name ?? type.name;
    const event = resolve(type, this.overrides.over(options, name, `${name}@${options.version ?? 1}`));

    const twin = this.find(event.name, event.version);
    if (twin !== undefined)
      throw new EventingError(
        'EVT_DUPLICATE_EVENT',
        `${className(type)} and ${twin.type.name} are both "${event.name}" version ${event.version}: give one of them another name or version.`,
      );
    const neighbours = this.#byChannel.get(event.channel) ?? [];
    for (const other of neighbours) {
      const field = (['provider', 'wire', 'durable'] as const).find((name) =>
        name === 'wire' ? other.wire.name !== event.wire.name : other[name] !== event[name],
      );
      if (field !== undefined)
        throw new EventingError(
          'EVT_CHANNEL_CONFLICT',
          `${event.type.name} and ${other.type.name} share the channel "${event.channel}" and differ in "${field}": make them agree, or give one another channel.`,
        );
    }

    this.#byClass.set(type, event);
    this.#byChannel.set(event.channel, [...neighbours, event]);
    const versions = this.#byName.get(event.name) ?? new Map<number, EventDescriptor>();
    this.#byName.set(event.name, versions.set(event.version, event));
    return event;
  }
}

function resolve(type: EventClass, options: EventOptions): EventDescriptor {
  const name = options.name ?? type.name;
  const channel = options.channel ?? name;
  const version = options.version ?? 1;
  const problems: string[] = [];
  const isName = (value: unknown): boolean => typeof value === 'string' && NAME.test(value);
  for (const [option, value] of Object.entries({ name, channel }))
    if (!isName(value)) problems.push(`${option} "${value}" must be 1 to 200 of A-Z a-z 0-9 . _ -`);
  if (!Number.isSafeInteger(version) || version < 1) problems.push(`version ${version} must be a positive integer`);
  if (typeof (options.durable ?? true) !== 'boolean')
    problems.push(`durable ${String(options.durable)} must be true or false`);
  if (!UNKNOWN_FIELDS.includes(options.unknownFields ?? 'reject'))
    problems.push(`unknownFields ${String(options.unknownFields)} must be one of ${UNKNOWN_FIELDS.join(', ')}`);
  if (problems.length > 0)
    throw new EventingError('EVT_INVALID_EVENT_OPTIONS', `@Event() of ${type.name}: ${problems.join('; ')}.`);
  return {
    type,
    name,
    version,
    channel,
    provider: options.provider ?? 'default',
    durable: options.durable ?? true,
    keyed: options.key !== undefined,
    keyOf: keyReader(type.name, options.key),
    wire: options.wire ?? cloudEvents,
    serializer: options.serializer ?? json,
    validator: bodyValidatorFor(type, options),
    upcast: options.upcast ?? {},
  };
}

function keyReader(type: string, key: EventOptions['key']): (body: object) => string | undefined {
  if (key === undefined) return () => undefined;
  const read =
    typeof key === 'function'
      ? (key as (body: object) => unknown)
      : (body: object): unknown => (body as Record<string, unknown>)[key];
  return (body) => {
    let value: unknown;
    try {
      value = read(body);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new EventingError('EVT_INVALID_EVENT', `The key of ${type} cannot be read: ${why}.`, { cause });
    }
    if (typeof value === 'string') return value;
    if (value === undefined || value === null) return undefined;
    if (typeof value === 'number' || typeof value === 'bigint') return String(value);
    throw new EventingError(
      'EVT_INVALID_EVENT',
      `The key of ${type} is neither text nor a number: @Event({ key }) must name one.`,
    );
  };
}

function className(type: unknown): string {
  if (typeof type === 'function') return type.name === '' ? 'An anonymous class' : type.name;
  return type === null ? 'null' : typeof type;
}
