import { EventingError } from '../errors/eventing.error.js';
import type { Delivery } from '../provider/event-provider.js';
import type { EventDescriptor } from '../registry/event.descriptor.js';
import type { EventRegistry } from '../registry/event.registry.js';
import type { DecodedMessage, WireBinding } from '../wire/wire-format.js';
import type { FoundDeadLetter } from './dead-letter.scanner.js';

/** The message of a letter, read as a listener would read it. */
export class DeadLetterMessage {
  constructor(
    private readonly letter: FoundDeadLetter,
    private readonly registry: EventRegistry,
    private readonly binding: WireBinding,
  ) {}

  /** What the message says of itself. @throws EventingError EVT_DEAD_LETTER_BODY where nobody here can read it */
  decode(): DecodedMessage {
    const { id, channel, message } = this.letter;
    const [event] = this.registry.onChannel(channel);
    if (event === undefined)
      throw unreadable(id, `no event of the channel "${channel.slice(0, 200)}" is known here, declare its class`);
    const { key, headers, body, time, position } = message;
    const delivery: Delivery = {
      channel,
      key,
      headers,
      body,
      time,
      position,
      source: channel,
      attempt: 1,
      settle: () => undefined,
    };
    try {
      return event.wire.decode(delivery, this.binding);
    } catch (cause) {
      throw unreadable(id, cause instanceof Error ? cause.message : String(cause), cause);
    }
  }

  /** The class that reads it: of its version, or of the next that has the upcasters. @throws EVT_DEAD_LETTER_BODY */
  eventOf({ name, version }: DecodedMessage): EventDescriptor {
    for (const known of this.registry.versions(name)) {
      const event = this.registry.find(name, known);
      if (event !== undefined && (known === version || reads(event, version))) return event;
    }
    throw unreadable(
      this.letter.id,
      `no class here is "${name.slice(0, 200)}" in version ${version}, declare it (EventingModule.forFeature)`,
    );
  }

  /** Parsed and upcast, not validated. @throws EVT_DEAD_LETTER_BODY */
  value(message: DecodedMessage, event: EventDescriptor): unknown {
    try {
      let value = event.serializer.deserialize(message.body, event);
      for (let version = message.version; version < event.version; version++)
        value = event.upcast[version]?.(value as Record<string, unknown>);
      return value;
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw unreadable(
        this.letter.id,
        `it is no ${event.serializer.contentType} (${why}), give a whole new one`,
        cause,
      );
    }
  }
}

function reads(event: EventDescriptor, from: number): boolean {
  if (from > event.version) return false;
  for (let version = from; version < event.version; version++) if (event.upcast[version] === undefined) return false;
  return true;
}

function unreadable(id: string, why: string, cause?: unknown): EventingError {
  const text = `The body of dead letter ${id} cannot be read: ${why.slice(0, 500).replace(/\.$/, '')}.`;
  return new EventingError('EVT_DEAD_LETTER_BODY', text, { cause });
}
