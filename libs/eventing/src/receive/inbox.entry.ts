import { createHash } from 'node:crypto';
import type { DecodedMessage } from '../wire/wire-format.js';
import type { DeliveryJob } from './delivery.job.js';
import type { OutputOrigin } from './delivery.outputs.js';
import type { InboxEntry } from './inbox.js';

/** What an inbox knows a handling by. */
export function inboxEntry(
  service: string,
  listener: string,
  job: DeliveryJob,
  message: DecodedMessage,
): InboxEntry & OutputOrigin {
  const { channel, body } = job.delivery;
  const { name: event, version, key } = message;
  return {
    ...{ listener: `${service}.${listener}`, source: message.source, id: message.id },
    digest: createHash('sha256').update(body).digest(),
    about: { service, event, version, channel, key, attempt: job.attempt },
  };
}
