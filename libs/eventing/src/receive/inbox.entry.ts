import { createHash } from 'node:crypto';
import type { DecodedMessage } from '../wire/wire-format.js';
import type { DeliveryJob } from './delivery.job.js';
import type { OutputOrigin } from './delivery.outputs.js';
import type { InboxEntry } from './inbox.js';

/** What an inbox knows a handling by. */
export function inboxEntry(origin: OutputOrigin, job: DeliveryJob, message: DecodedMessage): InboxEntry {
  const { channel, body } = job.delivery;
  const { name: event, version, key } = message;
  return {
    ...origin,
    digest: createHash('sha256').update(body).digest(),
    about: { event, version, channel, key, attempt: job.attempt },
  };
}
