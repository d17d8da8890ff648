import type { StandardSchemaV1 } from '../wire/standard-schema.js';
import type { BodySerializer } from '../wire/body.serializer.js';
import type { WireFormat } from '../wire/wire-format.js';
import { metadata } from './metadata.js';

/** Turns the plain body of one version into that of the next. */
export type Upcaster = (body: Record<string, unknown>) => Record<string, unknown>;

export interface EventOptions {
  /**
   * The name that crosses the wire; with the version, the event's identity. At most 200 of `A-Z a-z 0-9 . _ -`.
   * @default the class name
   */
  readonly name?: string;
  /** A positive integer. @default 1 */
  readonly version?: number;
  /** Where the event lives: a topic, an address, a log. Key order holds per channel. @default the name */
  readonly channel?: string;
  /** A field of the body, or a function of it, whose value orders the events that share it. @default no key, no order */
  readonly key?: string | ((event: never) => string | number | undefined);
  /** The provider that carries the event: a key of `forRoot({ providers })`. @default 'default' */
  readonly provider?: string;
  /** The event outlives a restart of the broker. @default true */
  readonly durable?: boolean;
  /** How the envelope is written. All events of a channel share one. @default CloudEvents 1.0, binary mode */
  readonly wire?: WireFormat;
  /** How the body is written. @default JSON */
  readonly serializer?: BodySerializer;
  /** Any Standard Schema (zod, valibot, arktype, …); used instead of class-validator, and quicker. @default none */
  readonly schema?: StandardSchemaV1;
  /**
   * What to do with fields that the class does not declare, where class-validator decorates it: refuse the event, take
   * them off, or keep them. @default 'reject'
   */
  readonly unknownFields?: 'reject' | 'strip' | 'keep';
  /** Steps from older versions, keyed by the version they read: `{ 1: (v1) => v2 }`. @default none */
  readonly upcast?: Readonly<Record<number, Upcaster>>;
}

/** Declares an event: a class whose instances travel. It registers itself when it is first sent or listened to. */
export function Event(options: EventOptions = {}): ClassDecorator {
  return (type) => metadata.setEvent(type, options);
}
