import { connect, Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Clock } from 'nestjs-eventing';
import type { SocketTarget } from './kafka.options.js';

export {
  contextOf,
  message,
  subscriptionOf,
  type TestContext,
  textOf,
  until,
} from '../../eventing/src/provider/provider.fixture.js';

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

  /** Sockets that are open, or being opened. One that was destroyed may take a while to say that it is closed. */
  get size(): number {
    return [...this.sockets].filter(({ destroyed }) => !destroyed).length;
  }

  cut(): void {
    this.isCut = true;
    for (const socket of this.sockets) socket.destroy(new Error('the network is cut'));
  }

  mend(): void {
    this.isCut = false;
  }
}
