import type { EventDescriptor } from '../registry/event.descriptor.js';

/** How a body becomes bytes. Validation is not its job. */
export interface BodySerializer {
  /** The media type that travels with the bytes. */
  readonly contentType: string;
  /** Throws where the body has no such form. The buffer must be a fresh one. */
  serialize(body: object, event: EventDescriptor): Uint8Array;
  /** Treats the bytes as hostile. Throws where they cannot be read. */
  deserialize(bytes: Uint8Array, event: EventDescriptor): unknown;
}
