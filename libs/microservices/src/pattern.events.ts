import { type EventClass, type EventDescriptor, EventingError, type EventRegistry } from 'nestjs-eventing';
import { cloudEventPackets } from './packets/cloudevents.packets.js';
import type { NestPackets } from './packets/nest.packets.js';
import { addressOf } from './pattern.address.js';
import { isPacketClass, packetClass } from './pattern.packet.js';

export interface PatternOptions {
  /**
   * Event classes that patterns name: `@EventPattern('orders.placed')` of a listed `OrderPlaced` is that event, on its channel,
   * validated. Those that the application listens to need not be listed.
   * @default none
   */
  readonly eventClasses?: readonly EventClass[];
  /** How packets of all other patterns look. @default cloudEventPackets() */
  readonly packets?: NestPackets;
  /** Where the packets of a pattern live. @default a channel of the pattern's own name */
  readonly channel?: (pattern: string) => string;
}

/** Which event stands behind a pattern, in one application. */
export class PatternEvents {
  readonly #packets: NestPackets;

  constructor(
    private readonly registry: EventRegistry,
    private readonly options: PatternOptions,
  ) {
    this.#packets = options.packets ?? cloudEventPackets();
  }

  /** @throws EventingError EVT_INVALID_PATTERN, and what the registry throws */
  eventOf(route: string): EventDescriptor {
    for (const type of this.options.eventClasses ?? []) this.registry.describe(type);
    const name = addressOf(route);
    const version = this.registry.versions(name).at(-1);
    const known = version === undefined ? undefined : this.registry.find(name, version);
    if (known === undefined)
      return this.registry.describe(packetClass(route, this.options.channel?.(route) ?? name, this.#packets));
    if (isPacketClass(known.type) && known.wire.name !== this.#packets.wire.name) {
      const text = `"${route}" is bridged as ${known.wire.name} and as ${this.#packets.wire.name}: give its transport and its client the same packets.`;
      throw new EventingError('EVT_INVALID_PATTERN', text);
    }
    return known;
  }
}
