import { EventingError } from '../errors/eventing.error.js';
import type { StartPosition } from '../provider/event-provider.js';
import type { MemoryChannel } from './memory.channel.js';
import type { StoredMessage } from './stored.message.js';

/** Which of a channel's kept messages a new subscription gets. */
export type Wanted = (channel: MemoryChannel) => (stored: StoredMessage) => boolean;

const NONE = (): boolean => false;
const ALL = (): boolean => true;

/**
 * Reads a start position against the channels of a subscription. A position is a sequence (`42`), or a delivery's own
 * position (`0@42`), and names the first message wanted.
 *
 * Throws EVT_POSITION for a source that is none of theirs, what cannot be read, and what is no longer or not yet there.
 */
export function readStart(from: StartPosition, channels: readonly MemoryChannel[]): Wanted {
  if (from === 'first-subscription') return () => NONE;
  if (from === 'earliest') return () => ALL;
  if ('time' in from) return () => (stored) => stored.storedAt >= from.time;
  const first = new Map(
    Object.entries(from.positions).map(([source, position]) => [source, readPosition(source, position, channels)]),
  );
  return (channel) => (stored) => stored.sequence >= (first.get(`${channel.name}/${stored.partition}`) ?? 0);
}

function readPosition(source: string, position: string, channels: readonly MemoryChannel[]): number {
  const slash = source.lastIndexOf('/');
  const partition = source.slice(slash + 1);
  const channel = channels.find(({ name }) => name === source.slice(0, slash));
  const bounds = /^\d+$/.test(partition) ? channel?.bounds(Number(partition)) : undefined;
  if (bounds === undefined) {
    const names = channels.map(({ name }) => `"${name}/<partition>"`).join(', ');
    throw refuse(source, position, `there is no such source; those of this subscription are ${names}`);
  }
  const [, prefix, sequence] = /^(?:(\d+)@)?(\d{1,15})$/.exec(position) ?? [];
  if (sequence === undefined || (prefix !== undefined && prefix !== partition)) {
    throw refuse(source, position, `write "42" or "${partition}@42"`);
  }
  const wanted = Number(sequence);
  if (wanted < bounds.oldest) {
    throw refuse(
      source,
      position,
      `the oldest kept is ${bounds.oldest}; begin there, or raise retain (or retainBytes)`,
    );
  }
  if (wanted > bounds.next) throw refuse(source, position, `the next to come is ${bounds.next}`);
  return wanted;
}

function refuse(source: string, position: string, remedy: string): EventingError {
  return new EventingError('EVT_POSITION', `a subscription cannot begin at "${position}" of "${source}": ${remedy}`);
}
