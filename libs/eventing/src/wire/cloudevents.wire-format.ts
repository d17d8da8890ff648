import { isHeaderName } from '../envelope/event.headers.js';
import type { HeaderValue } from '../provider/event-provider.js';
import { type CloudEventAttributes, complete, noAttributes, undecodable } from './cloudevents.attributes.js';
import { decodeStructured, isStructured } from './cloudevents.structured.js';
import { decodeUtf8 } from './utf8.js';
import type { WireBinding, WireFormat } from './wire-format.js';

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
    const found = noAttributes();
    let users: Map<string, string> | undefined;
    const { headers } = delivery;
    for (const name in headers) {
      const raw = headers[name];
      if (raw === undefined) continue;
      const attribute = p.attributeOf.get(name) ?? p.attributeOf.get(name.toLowerCase());
      if (attribute !== undefined) store(found, attribute, text(name, raw));
      else if (isHeaderName(name) || name === 'traceparent' || name === 'tracestate')
        (users ??= new Map()).set(name, text(name, raw));
      // Other names belong to the transport or to software that we do not know: not ours to judge.
    }
    const media = found.datacontenttype;
    if (media !== undefined && media !== 'application/json' && isStructured(media))
      return decodeStructured(delivery, users);
    return complete(found, delivery, users, delivery.body);
  },
};

/** Those of every message by name: a computed name costs several times as much. */
function store(found: CloudEventAttributes, attribute: AttributeName, value: string): void {
  switch (attribute) {
    case 'specversion':
      found.specversion = value;
      break;
    case 'id':
      found.id = value;
      break;
    case 'source':
      found.source = value;
      break;
    case 'type':
      found.type = value;
      break;
    case 'datacontenttype':
      found.datacontenttype = value;
      break;
    default:
      found[attribute] = value;
  }
}

function text(name: string, value: HeaderValue): string {
  if (typeof value === 'string') return value;
  try {
    return decodeUtf8(value);
  } catch (cause) {
    throw undecodable(`its header "${name.slice(0, 140)}" is not UTF-8`, cause);
  }
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
    // Through JSON: what its parser makes keeps all its properties in one piece, and so do the copies.
    const template = JSON.parse(
      JSON.stringify(Object.fromEntries([...required, [binding.contentTypeHeader, '']])),
    ) as Record<string, string>;
    known = { ...header, contentType: binding.contentTypeHeader, attributeOf, template } as unknown as Names;
    spelled.set(binding, known);
  }
  return known;
}
