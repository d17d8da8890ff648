export { EVENTING_TRANSPORT, EventingTransport, type EventingTransportOptions } from './eventing.transport.js';
export { EventingRpcContext } from './eventing.rpc-context.js';
export { EventingExceptionFilter } from './eventing.exception-filter.js';
export { type HandlerOptions, listenerOptions } from './listener.options.js';
export type { PatternListenerOptions } from './handlers/pattern.listeners.js';

export { EventingClient, type EventingClientOptions } from './eventing.client.js';
export { EventRecord, type EventRecordOptions } from './event.record.js';

export type { BridgeOptions } from './bridge.js';
export type { PatternOptions } from './pattern.events.js';
export type { NestPackets } from './packets/nest.packets.js';
export { cloudEventPackets } from './packets/cloudevents.packets.js';
export { type KafkaPacketOptions, kafkaPackets } from './packets/kafka.packets.js';
export { rmqPackets } from './packets/rmq.packets.js';
