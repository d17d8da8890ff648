import type { OutgoingMessage } from 'nestjs-eventing';
import { decodeHeaders, encodeHeaders } from '../log/header.codec.js';

/** A message as JSON: its headers as the text of their own JSON, its body as base64. */
export interface MessageJson {
  readonly id: string;
  readonly channel: string;
  readonly key: string | null;
  readonly headers: string;
  readonly body: string;
  readonly time: number;
  readonly durable: boolean;
  readonly recipient: string | null;
}

/** The same as a row, with the body in bytes. */
export type MessageRow = Omit<MessageJson, 'body'> & { readonly body: Uint8Array };

export function messageToJson({ id, channel, key, headers, body, time, durable, to }: OutgoingMessage): MessageJson {
  return {
    id,
    channel,
    key: key ?? null,
    headers: encodeHeaders(headers),
    body: Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('base64'),
    time,
    durable,
    recipient: to ?? null,
  };
}

export function messageFromJson(json: MessageJson): OutgoingMessage {
  return messageOf({ ...json, body: Buffer.from(json.body, 'base64') });
}

export function messageOf({ id, channel, key, headers, body, time, durable, recipient }: MessageRow): OutgoingMessage {
  const parsed: unknown = JSON.parse(headers);
  const message = { id, channel, key: key ?? undefined, headers: decodeHeaders(parsed), body, time, durable };
  return recipient === null ? message : { ...message, to: recipient };
}
