import { EventingError } from '../errors/eventing.error.js';
import type { Delivery } from '../provider/event-provider.js';
import type { DecodedMessage } from './wire-format.js';

/** Attributes of CloudEvents 1.0 and its registered extensions, with the names of ours last. */
export interface CloudEventAttributes {
  id: string | undefined;
  source: string | undefined;
  type: string | undefined;
  specversion: string | undefined;
  time: string | undefined;
  datacontenttype: string | undefined;
  partitionkey: string | undefined;
  correlationid: string | undefined;
  causationid: string | undefined;
  expirytime: string | undefined;
  dataversion: string | undefined;
  notbefore: string | undefined;
}

/** Every field from the beginning: an object that grows field by field costs several times as much. */
export const noAttributes = (): CloudEventAttributes => ({
  id: undefined,
  source: undefined,
  type: undefined,
  specversion: undefined,
  time: undefined,
  datacontenttype: undefined,
  partitionkey: undefined,
  correlationid: undefined,
  causationid: undefined,
  expirytime: undefined,
  dataversion: undefined,
  notbefore: undefined,
});

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
