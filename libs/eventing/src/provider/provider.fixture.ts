import { randomUUID } from 'node:crypto';
import {
  systemClock,
  type Delivery,
  type OutgoingMessage,
  type ProviderContext,
  type Subscription,
} from 'nestjs-eventing';

// What the specs of every provider need that speak to it as the kernel does.

/** Looks every few milliseconds until it is so. */
export async function until(what: string, check: () => boolean | Promise<boolean>, patience = 120_000): Promise<void> {
  for (const end = Date.now() + patience; !(await check());) {
    if (Date.now() > end) throw new Error(`Not within ${patience} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export interface TestContext extends ProviderContext {
  readonly lines: string[];
  readonly statuses: string[];
}

export function contextOf(service: string, changes: Partial<ProviderContext> = {}): TestContext {
  const lines: string[] = [];
  const statuses: string[] = [];
  const note = (level: string) => (message: string) => void lines.push(`${level} ${message}`);
  return {
    name: 'default',
    service,
    instance: randomUUID(),
    topology: 'create',
    publishTimeout: 15_000,
    rebalanceDrain: 3_000,
    maxBodyBytes: 1_000_000,
    clock: systemClock,
    logger: { log: note('log'), warn: note('warn'), error: note('error'), debug: note('debug') },
    onStatus: (status) => void statuses.push(status),
    lines,
    statuses,
    ...changes,
  };
}

export function message(
  channel: string,
  changes: Partial<OutgoingMessage> & { readonly text?: string } = {},
): OutgoingMessage {
  const { text = 'body', ...rest } = changes;
  return {
    id: randomUUID(),
    channel,
    key: undefined,
    headers: {},
    body: Buffer.from(text),
    time: Date.now(),
    durable: true,
    ...rest,
  };
}

export function subscriptionOf(name: string, channel: string, changes: Partial<Subscription> = {}): Subscription {
  return {
    name,
    channels: [channel],
    perProcess: false,
    durable: true,
    from: 'first-subscription',
    window: 256,
    ordered: true,
    transactional: false,
    ...changes,
  };
}

export function textOf(delivery: Pick<Delivery, 'body'>): string {
  return Buffer.from(delivery.body).toString('utf8');
}
