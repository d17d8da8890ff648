import { memory, MemoryBroker, type ProviderFactory } from 'nestjs-eventing';

/** What carries the events, and where it is. */
export type ProviderChoice =
  | { readonly provider: 'memory' }
  | { readonly provider: 'kafka'; readonly brokers: readonly string[] }
  | { readonly provider: 'rabbitmq' | 'amqp' | 'stomp' | 'postgres'; readonly url: string }
  | { readonly provider: 'embedded'; readonly dataDir: string };

/** The one place that knows what carries the events. The services do not. */
export async function providerFor(choice: ProviderChoice): Promise<ProviderFactory> {
  if (choice.provider === 'memory') return memory({ broker: new MemoryBroker() });
  // Each is imported where it is chosen: whoever stays in memory needs no broker's client.
  if (choice.provider === 'kafka') {
    const { kafka } = await import('nestjs-eventing/kafka');
    return kafka({ brokers: choice.brokers });
  }
  if (choice.provider === 'postgres') {
    const { postgres } = await import('nestjs-eventing/postgres');
    return postgres({ connectionString: choice.url });
  }
  if (choice.provider === 'embedded') {
    const { embedded } = await import('nestjs-eventing/postgres');
    return embedded({ dataDir: choice.dataDir });
  }
  if (choice.provider === 'rabbitmq') {
    const { rabbitmq } = await import('nestjs-eventing/rabbitmq');
    return rabbitmq({ url: choice.url });
  }
  if (choice.provider === 'amqp') {
    const { amqp } = await import('nestjs-eventing/amqp');
    return amqp(serverAt(choice.url));
  }
  const { stomp } = await import('nestjs-eventing/stomp');
  return stomp(serverAt(choice.url));
}

/** `amqp://user:password@host:port`; a scheme that ends in s asks for TLS. */
function serverAt(url: string) {
  const { protocol, hostname, port, username, password } = new URL(url);
  return {
    host: hostname,
    ...(port === '' ? {} : { port: Number(port) }),
    ...(username === '' ? {} : { username: decodeURIComponent(username), password: decodeURIComponent(password) }),
    tls: protocol.endsWith('s:'),
  };
}
