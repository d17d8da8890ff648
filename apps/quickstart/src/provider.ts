import { memory, MemoryBroker, type ProviderFactory } from 'nestjs-eventing';

export type ProviderChoice =
  { readonly provider: 'memory' } | { readonly provider: 'kafka'; readonly brokers: readonly string[] };

/** The one place that knows what carries the events. The services do not. */
export async function providerFor(choice: ProviderChoice): Promise<ProviderFactory> {
  if (choice.provider === 'memory') return memory({ broker: new MemoryBroker() });
  // Imported where it is chosen: whoever stays in memory needs no Kafka client.
  const { kafka } = await import('nestjs-eventing/kafka');
  return kafka({ brokers: choice.brokers });
}
