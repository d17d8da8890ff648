import { randomUUID } from 'node:crypto';
import { type Clock, memory, type MemoryBroker, type ProviderContext, type RawHeaders } from 'nestjs-eventing';

export interface RawMessageOptions {
  readonly key?: string;
  readonly headers?: RawHeaders;
  /** Whose broker. @default 'default' */
  readonly provider?: string;
}

/** Stores a message that no kernel has looked at. @throws EventingError where the broker refuses it */
export async function publishAsForeigner(
  broker: MemoryBroker,
  clock: Clock,
  channel: string,
  body: unknown,
  { key, headers = {} }: RawMessageOptions,
): Promise<void> {
  const bytes = body instanceof Uint8Array ? body : Buffer.from(JSON.stringify(body));
  const foreigner = memory({ broker }).create(contextOf(clock));
  const [failure] = await foreigner.publish([
    { id: randomUUID(), channel, key, headers, body: bytes, time: clock.now(), durable: true },
  ]);
  await foreigner.stop();
  if (failure !== undefined) throw failure.error;
}

const silent = (): void => undefined;

/** Of someone who only publishes. */
function contextOf(clock: Clock): ProviderContext {
  return {
    name: 'default',
    service: 'foreign',
    instance: 'foreign',
    topology: 'create',
    publishTimeout: 30_000,
    rebalanceDrain: 5_000,
    maxBodyBytes: Number.MAX_SAFE_INTEGER,
    clock,
    logger: { log: silent, warn: silent, error: silent, debug: silent },
    onStatus: silent,
  };
}
