import { EventingError } from 'nestjs-eventing';

/** The kernel's own rule for channels, services and listeners; the broker gives a meaning to `::`, `*`, `#` and more. */
const ADDRESS = /^[A-Za-z0-9][A-Za-z0-9._-]{0,249}$/;

/**
 * A queue's name is unique in the whole broker, and what stands before the first `::` of a full name is the address: so the parts are
 * joined by one colon, which none of them can have.
 */
export function queueName(channel: string, service: string, listener: string, instance?: string): string {
  const shared = `${channel}:${service}:${listener}`;
  return instance === undefined ? shared : `${shared}:${instance.replaceAll(/[^A-Za-z0-9._-]/g, '_')}`;
}

/** Address and queue in one, as links are given. */
export function fullName(address: string, queue: string): string {
  return `${address}::${queue}`;
}

/** Throws EVT_TOPOLOGY for a channel that cannot be an address. */
export function checkAddress(channel: string): void {
  if (ADDRESS.test(channel)) return;
  throw new EventingError(
    'EVT_TOPOLOGY',
    `There can be no address named ${JSON.stringify(channel.slice(0, 300))}. Use letters, digits, ".", "_" and "-", at most 250, for the channel.`,
  );
}
