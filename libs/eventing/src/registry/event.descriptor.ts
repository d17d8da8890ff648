import type { Upcaster } from '../declare/event.decorator.js';
import type { EventClass } from '../declare/metadata.js';
import type { BodySerializer } from '../wire/body.serializer.js';
import type { BodyValidator } from '../wire/body.validator.js';
import type { WireFormat } from '../wire/wire-format.js';

/** An event class with every option resolved. */
export interface EventDescriptor {
  readonly type: EventClass;
  readonly name: string;
  readonly version: number;
  readonly channel: string;
  readonly provider: string;
  readonly durable: boolean;
  readonly keyed: boolean;
  /** The ordering key of a body. @throws EventingError EVT_INVALID_EVENT when it is neither text nor a number */
  keyOf(body: object): string | undefined;
  readonly wire: WireFormat;
  readonly serializer: BodySerializer;
  readonly validator: BodyValidator;
  readonly upcast: Readonly<Record<number, Upcaster>>;
}
