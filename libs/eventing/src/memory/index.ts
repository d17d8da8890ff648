export { memory, MemoryProvider } from './memory.provider.js';
export type { MemoryBrokerOptions, MemoryOptions } from './memory.options.js';
export { MemoryBroker } from './memory.broker.js';
export { MemoryFaults } from './memory.faults.js';
export type { MessagePredicate } from './publish.faults.js';
export type { QueueReport } from './broker.report.js';
export type { QueueIdentity } from './memory.queue.js';
