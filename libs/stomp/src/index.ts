export { stomp } from './stomp.provider.js';
export type { StompOptions, StompSocketTarget } from './stomp.options.js';
