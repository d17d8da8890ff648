export { amqp } from './amqp.provider.js';
export type { AmqpOptions, SocketTarget } from './amqp.options.js';
