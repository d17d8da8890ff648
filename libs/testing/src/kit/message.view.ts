import type { Delivery, OutgoingMessage } from 'nestjs-eventing';

/** A message that is published, as one that is delivered: for a wire format to read. */
export function asDelivery({ channel, key, headers, body, time }: OutgoingMessage): Delivery {
  const settle = (): void => undefined;
  return { channel, key, headers, body, time, source: '', position: '', attempt: 1, settle };
}
