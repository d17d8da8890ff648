import { cloudEvents, json } from 'nestjs-eventing';
import type { NestPackets } from './nest.packets.js';

/**
 * A CloudEvent whose body is the data: what `sendEvent` writes and `@EventListener()` reads, so that patterns and events of
 * one name are the same thing.
 */
export function cloudEventPackets(): NestPackets {
  return { wire: cloudEvents, serializer: json };
}
