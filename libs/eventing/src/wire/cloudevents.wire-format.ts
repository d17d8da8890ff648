import { EventingError } from '../errors/eventing.error.js';
import { isHeaderName } from '../envelope/event.headers.js';
import type { Delivery, HeaderValue } from '../provider/event-provider.js';
import { decodeStructured, isStructured } from './cloudevents.structured.js';
import { decodeUtf8 } from './utf8.js';
import type { DecodedMessage, WireBinding, WireFormat } from './wire-format.js';

/** Attributes of CloudEvents 1.0 and its registered extensions, with the names of ours last. */
export interface CloudEventAttributes {
  id?: string;
  source?: string;
  type?: string;
  specversion?: string;
  time?: string;
  datacontenttype?: string;
  partitionkey?: string;
  correlationid?: string;
  causationid?: string;
  expirytime?: string;
  dataversion?: string;
  notbefore?: string;
}

/**
 * CloudEvents 1.0 in binary mode: attributes as headers, the body as it is. Headers dominate the cost of a message, so only
 * what is not implied is written: time and key where the transport has no field for them, version unless 1, correlation id
 * unless it equals the id. Structured mode (`application/cloudevents+json`) is read, not written.
 */
export const cloudEvents: WireFormat = {
  name: 'cloudevents',

  encode(attributes, contentType, userHeaders, binding) {
    const p = names(binding);
    // A copy of a template, then stores: several times quicker than a literal with computed names.
    const headers: Record<string, string> = { ...p.template };
    headers[p.id] = attributes.id;
    headers[p.source] = attributes.source;
    headers[p.type] = attributes.name;
    headers[p.contentType] = contentType;
    if (attributes.version !== 1) headers[p.dataversion] = String(attributes.version);
    if (attributes.correlationId !== attributes.id) headers[p.correlationid] = attributes.correlationId;
    if (attributes.causationId !== undefined) headers[p.causationid] = attributes.causationId;
    if (attributes.notBefore !== undefined) headers[p.notbefore] = new Date(attributes.notBefore).toISOString();
    if (attributes.expiresAt !== undefined) headers[p.expirytime] = new Date(attributes.expiresAt).toISOString();
    if (!binding.carriesTime) headers[p.time] = new Date(attributes.time).toISOString();
    if (!binding.carriesKey && attributes.key !== undefined) headers[p.partitionkey] = attributes.key;
    for (const [name, value] of userHeaders) headers[name] = value;
    return headers;
  },

  decode(delivery, binding) {
    const p = names(binding);
    const found: CloudEventAttributes = {};
    let users: Map<string, string> | undefined;
    for (const name in delivery.headers) {
      const raw = delivery.headers[name];
      if (raw === undefined) continue;
      const attribute = p.attributeOf.get(name) ?? p.attributeOf.get(name.toLowerCase());
      if (attribute !== undefined) found[attribute] = text(name, raw);
      else if (isHeaderName(name) || name === 'traceparent' || name === 'tracestate')
        (users ??= new Map()).set(name, text(name, raw));
      // Other names belong to the transport or to software that we do not know: not ours to judge.
    }
    if (found.datacontenttype !== undefined && isStructured(found.datacontenttype))
      return decodeStructured(delivery, users);
    return complete(found, delivery, users, delivery.body);
  },
};

/** Checks what every CloudEvent must have, and fills in what was implied. */
export function complete(
  found: CloudEventAttributes,
  delivery: Delivery,
  headers: Map<string, string> | undefined,
  body: Uint8Array,
): DecodedMessage {
  if (found.specversion !== '1.0')
    throw undecodable(
      found.specversion === undefined
        ? 'it is not a CloudEvent (no specversion); give the event another wire format if other software writes this channel'
        : `its CloudEvents version "${found.specversion.slice(0, 20)}" is not 1.0`,
    );
  const { id, source, type } = found;
  if (id === undefined || id === '') throw undecodable('its CloudEvents id is missing');
  if (source === undefined || source === '') throw undecodable('its CloudEvents source is missing');
  if (type === undefined || type === '') throw undecodable('its CloudEvents type is missing');
  return {
    id,
    name: type,
    version: found.dataversion === undefined ? 1 : version(found.dataversion),
    source,
    time: found.time === undefined ? delivery.time : instant('time', found.time),
    key: delivery.key ?? found.partitionkey,
    correlationId: found.correlationid ?? id,
    causationId: found.causationid,
    notBefore: found.notbefore === undefined ? undefined : instant('notbefore', found.notbefore),
    expiresAt: found.expirytime === undefined ? undefined : instant('expirytime', found.expirytime),
    contentType: found.datacontenttype ?? 'application/json',
    headers,
    body,
  };
}

export function undecodable(what: string, cause?: unknown): EventingError {
  return new EventingError('EVT_UNDECODABLE', `The message cannot be read: ${what}.`, { cause });
}

function text(name: string, value: HeaderValue): string {
  if (typeof value === 'string') return value;
  try {
    return decodeUtf8(value);
  } catch (cause) {
    throw undecodable(`its header "${name.slice(0, 140)}" is not UTF-8`, cause);
  }
}

function version(value: string): number {
  if (!/^[1-9]\d{0,8}$/.test(value))
    throw undecodable(`its dataversion "${value.slice(0, 20)}" is not a positive integer`);
  return Number(value);
}

function instant(attribute: string, value: string): number {
  const time = Date.parse(value);
  if (Number.isNaN(time)) throw undecodable(`its ${attribute} "${value.slice(0, 40)}" is not a date`);
  return time;
}

type AttributeName = keyof CloudEventAttributes;
type Names = Record<Exclude<AttributeName, 'datacontenttype'> | 'contentType', string> & {
  readonly attributeOf: ReadonlyMap<string, AttributeName>;
  /** What every message has. */
  readonly template: Readonly<Record<string, string>>;
};

const ATTRIBUTES = [
  'id',
  'source',
  'type',
  'specversion',
  'time',
  'partitionkey',
  'correlationid',
  'causationid',
  'expirytime',
  'dataversion',
  'notbefore',
] as const;

// Header names are spelled once per binding, not once per message. Weak: nothing is kept of a provider that is gone.
const spelled = new WeakMap<WireBinding, Names>();

function names(binding: WireBinding): Names {
  let known = spelled.get(binding);
  if (known === undefined) {
    const header = Object.fromEntries(ATTRIBUTES.map((name) => [name, binding.attributePrefix + name]));
    const attributeOf = new Map<string, AttributeName>(
      ATTRIBUTES.map((name) => [(binding.attributePrefix + name).toLowerCase(), name]),
    );
    for (const name of ATTRIBUTES) attributeOf.set(binding.attributePrefix + name, name);
    attributeOf.set(binding.contentTypeHeader, 'datacontenttype');
    const required = ['specversion', 'id', 'source', 'type'].map((name) => [binding.attributePrefix + name, '1.0']);
    const template = Object.fromEntries([...required, [binding.contentTypeHeader, '']]) as Record<string, string>;
    known = { ...header, contentType: binding.contentTypeHeader, attributeOf, template } as unknown as Names;
    spelled.set(binding, known);
  }
  return known;
}
