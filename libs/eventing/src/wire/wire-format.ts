import type { Delivery, RawHeaders } from '../provider/event-provider.js';

/** How one transport spells what every wire format needs. */
export interface WireBinding {
  /** Put before each CloudEvents attribute: `ce_` (Kafka), `cloudEvents:` (AMQP), `ce-` (HTTP). */
  readonly attributePrefix: string;
  /** The header, or pseudo header, that carries the media type of the body. */
  readonly contentTypeHeader: string;
  /** The transport carries the sending time; then no header does. */
  readonly carriesTime: boolean;
  /** The transport carries the key; then no header does. */
  readonly carriesKey: boolean;
}

/** What travels beside the body. Times in milliseconds since 1970. */
export interface WireAttributes {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly source: string;
  readonly time: number;
  readonly key: string | undefined;
  readonly correlationId: string;
  readonly causationId: string | undefined;
  readonly notBefore: number | undefined;
  readonly expiresAt: number | undefined;
}

/** What a message says of itself, before its body is looked at. */
export interface DecodedMessage extends WireAttributes {
  /** Media type of the body. */
  readonly contentType: string;
  /** The user's headers, taken over by the envelope; `undefined` where there are none. */
  readonly headers: Map<string, string> | undefined;
  /** The serialized body: the message's own bytes, or a part of them. */
  readonly body: Uint8Array;
}

/**
 * How an envelope becomes headers, and headers an envelope. Pure: no clock, no state. All events of a channel share one.
 */
export interface WireFormat {
  readonly name: string;
  encode(
    attributes: WireAttributes,
    contentType: string,
    headers: Iterable<readonly [string, string]>,
    binding: WireBinding,
  ): RawHeaders;
  /**
   * Must treat every byte as hostile and throws `EventingError` EVT_UNDECODABLE for what it cannot read. Cheap: it runs
   * before the kernel knows whether anybody wants the event.
   */
  decode(delivery: Delivery, binding: WireBinding): DecodedMessage;
}
