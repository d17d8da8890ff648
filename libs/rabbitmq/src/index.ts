export { rabbitmq } from './rabbit.provider.js';
export type { RabbitChannel, RabbitOptions } from './rabbit.options.js';
