import type { ConsumeMessage } from 'amqplib';
import { createHash, randomUUID } from 'node:crypto';

/**
 * A name for a message that other software sent: the broker gives it none. With a message id, the same at each delivery. Without one
 * two messages may be alike to the last byte and still be two, so that each delivery gets a name of its own: what is a dead letter
 * may be stored twice then, and is never lost.
 */
export function foreignPosition({ properties, content, fields }: ConsumeMessage): string {
  const messageId: unknown = properties.messageId;
  if (typeof messageId !== 'string' || messageId === '') return `unnamed-${randomUUID()}`;
  const digest = createHash('sha256').update(fields.routingKey).update('\n').update(messageId).update('\n');
  return `foreign-${digest.update(content).digest('hex').slice(0, 32)}`;
}
