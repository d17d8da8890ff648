export { kafka } from './kafka.provider.js';
export type { KafkaOptions, KafkaSasl, SocketTarget } from './kafka.options.js';
