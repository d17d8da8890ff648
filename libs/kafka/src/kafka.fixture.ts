import { randomUUID } from 'node:crypto';
import { connect, Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import {
  systemClock,
  type Clock,
  type Delivery,
  type OutgoingMessage,
  type ProviderContext,
  type Subscription,
} from 'nestjs-eventing';
import type { SocketTarget } from './kafka.options.js';

const STEP = 50;

/** Time that stands still until a test moves it. */
export class HandClock implements Clock {
  private time = 1_700_000_000_000;
  private timers: { readonly at: number; readonly fn: () => void }[] = [];

  now(): number {
    return this.time;
  }

  setTimeout(fn: () => void, ms: number): { cancel(): void } {
    const timer = { at: this.time + ms, fn };
    this.timers.push(timer);
    return { cancel: () => void (this.timers = this.timers.filter((other) => other !== timer)) };
  }

  /** In small steps, each with time for what it sets off; or in one, as for a process that was suspended. */
  async advance(ms: number, step = STEP): Promise<void> {
    for (const end = this.time + ms; this.time < end;) {
      await turn();
      this.time = Math.min(end, this.time + step);
      const due = this.timers.filter((timer) => timer.at <= this.time).sort((a, b) => a.at - b.at);
      this.timers = this.timers.filter((timer) => !due.includes(timer));
      for (const timer of due) timer.fn();
    }
    await turn();
  }
}

/** Lets everything that is ready to run do so. */
export async function turn(): Promise<void> {
  for (let index = 0; index < 5; index++) await new Promise((resolve) => setImmediate(resolve));
}

/** Looks every few milliseconds until it is so. */
export async function until(what: string, check: () => boolean | Promise<boolean>, patience = 20_000): Promise<void> {
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
    ...changes,
  };
}

export function textOf(delivery: Pick<Delivery, 'body'>): string {
  return Buffer.from(delivery.body).toString('utf8');
}

/** The network of one process: what it has open can be cut, as if the process had died or its host had lost the network. */
export class Network {
  private readonly sockets = new Set<Socket>();
  private isCut = false;

  readonly open = ({ host, port, ssl }: SocketTarget): Socket => {
    const socket = this.isCut
      ? new Socket()
      : ssl === undefined
        ? connect({ host, port })
        : connectTls({ host, port, ...ssl });
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
    if (this.isCut) setImmediate(() => socket.destroy(new Error('the network is cut')));
    return socket;
  };

  cut(): void {
    this.isCut = true;
    for (const socket of this.sockets) socket.destroy(new Error('the network is cut'));
  }

  mend(): void {
    this.isCut = false;
  }
}
