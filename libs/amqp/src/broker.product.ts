import { EventingError } from 'nestjs-eventing';
import type { AmqpConnection } from './amqp.connection.js';
import type { ResolvedAmqpOptions } from './amqp.options.js';

/** Throws EVT_INVALID_OPTIONS where who answers says of itself that it is a broker of the other kind. Some say nothing. */
export function refuseOther(connection: AmqpConnection, expected: ResolvedAmqpOptions['broker']): void {
  const { product, version } = connection;
  if (product === '') return;
  const isRabbit = /rabbitmq/i.test(product);
  if (isRabbit === (expected === 'rabbitmq')) return;
  const remedy = isRabbit ? "`broker: 'rabbitmq'`" : "`broker: 'artemis'`";
  throw new EventingError(
    'EVT_INVALID_OPTIONS',
    `What answers is ${product} ${version}, and amqp({ … }) was told that it is ${expected === 'rabbitmq' ? 'RabbitMQ' : 'ActiveMQ Artemis'}: give it ${remedy}.`,
  );
}
