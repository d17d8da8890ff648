export type { Broker } from './broker.js';
export * from './broker.errors.js';
export type { Unavailable } from './missing-parts.js';

export { acquireKafka, startOwnKafka, startOwnKafkaCluster } from './kafka/kafka.js';
export type { KafkaBroker } from './kafka/kafka-broker.js';
export type { KafkaCluster } from './kafka/kafka-cluster.js';
export type { KafkaNode } from './kafka/kafka-node.js';
export type { KafkaAccess, KafkaOptions, KafkaSecurity } from './kafka/kafka-options.js';

export { acquireRabbitMq, startOwnRabbitMq } from './rabbitmq/rabbitmq.js';
export { type RabbitMqBroker, writeQueuesDown } from './rabbitmq/rabbitmq-broker.js';
export type { RabbitMqAccess, RabbitMqOptions, RabbitMqUser } from './rabbitmq/rabbitmq-options.js';

export { acquirePostgres, startOwnPostgres } from './postgres/postgres.js';
export type { PostgresBroker } from './postgres/postgres-broker.js';
export type { PostgresAccess, PostgresServerOptions } from './postgres/postgres-options.js';

export { acquireArtemis, startOwnArtemis } from './artemis/artemis.js';
export type { ArtemisBroker } from './artemis/artemis-broker.js';
export type { ArtemisAccess, ArtemisOptions, ArtemisPermission, ArtemisUser } from './artemis/artemis-options.js';
