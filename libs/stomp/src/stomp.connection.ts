import { Client, Versions } from '@stomp/stompjs';
import type { Clock, Timer } from 'nestjs-eventing';
import { type Frame, headerOf } from './frame.reader.js';
import { FrameSocket } from './frame.socket.js';
import { FrameWriter, header } from './frame.writer.js';
import { StompFault } from './stomp.errors.js';
import type { ResolvedStompOptions } from './stomp.options.js';

export interface ConnectionListener {
  message?(frame: Frame): void;
  oversized?(head: string, bytes: number): void;
}

/** What became of a frame: nothing, if it was taken. */
export type ReceiptCallback = (fault: StompFault | undefined) => void;

/** One life of one connection: it is open when it is there, and once it has ended another one takes its place. */
export class StompConnection {
  /** Resolves when it has ended, with the reason. */
  readonly ended: Promise<StompFault>;
  private readonly client: Client;
  private readonly socket: FrameSocket;
  private readonly writer = new FrameWriter();
  private readonly receipts = new Map<string, ReceiptCallback>();
  private nextReceipt = 1;
  private flushing = false;
  private fault: StompFault | undefined;
  private over = false;
  private opening: { resolve(): void; reject(fault: StompFault): void } | undefined;

  private constructor(options: ResolvedStompOptions, listener: ConnectionListener) {
    this.socket = new FrameSocket(options, {
      message: (frame) => listener.message?.(frame),
      receipt: ({ head }) => this.received(headerOf(head, 'receipt-id') ?? ''),
      oversized: (head, bytes) => listener.oversized?.(head, bytes),
      fault: (cause) => (this.fault ??= new StompFault(cause.message, { refused: false, cause })),
    });
    const { username: login, password: passcode, virtualHost: host, heartbeat } = options;
    let end: (fault: StompFault) => void = () => undefined;
    this.ended = new Promise((resolve) => (end = resolve));
    this.client = new Client({
      webSocketFactory: () => this.socket,
      connectHeaders: {
        host,
        ...(login === undefined ? {} : { login }),
        ...(passcode === undefined ? {} : { passcode }),
      },
      stompVersions: new Versions([Versions.V1_2]),
      heartbeatIncoming: heartbeat,
      heartbeatOutgoing: heartbeat,
      // One client for one connection: who needs another waits as long as it sees fit.
      reconnectDelay: 0,
      discardWebsocketOnCommFailure: true,
      onConnect: () => this.opening?.resolve(),
      onStompError: ({ headers, body }) => this.refused(headers, body),
      onHeartbeatLost: () => (this.fault ??= new StompFault('the broker was silent for too long', { refused: false })),
      onWebSocketClose: () => {
        const fault = this.finish();
        void this.client.deactivate({ force: true });
        end(fault);
      },
    });
  }

  /** Rejects with a StompFault. */
  static async open(
    options: ResolvedStompOptions,
    clock: Clock,
    listener: ConnectionListener = {},
  ): Promise<StompConnection> {
    const connection = new StompConnection(options, listener);
    let timer: Timer | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        connection.opening = { resolve, reject };
        timer = clock.setTimeout(() => {
          connection.fault ??= new StompFault(`no answer within ${options.connectTimeout / 1000} s`, {
            refused: false,
          });
          connection.destroy();
        }, options.connectTimeout);
        connection.client.activate();
      });
      return connection;
    } finally {
      timer?.cancel();
      connection.opening = undefined;
    }
  }

  get isOver(): boolean {
    return this.over;
  }

  /** Puts a frame behind what was put before; all of one turn of the event loop leave together. */
  send(head: string, body?: Uint8Array): void {
    if (this.over) return;
    this.writer.frame(head, body);
    if (this.flushing) return;
    this.flushing = true;
    queueMicrotask(() => this.flush());
  }

  /** A header that asks for a receipt. The callback is called once, also when the connection ends before. */
  receipt(callback: ReceiptCallback): string {
    const id = String(this.nextReceipt++);
    this.receipts.set(id, callback);
    return `receipt:${id}\n`;
  }

  /** Sends a frame and awaits its receipt. Rejects with a StompFault. */
  request(head: string, body?: Uint8Array): Promise<void> {
    if (this.over) return Promise.reject(this.fault ?? GONE);
    return new Promise((resolve, reject) => {
      const receipt = this.receipt((fault) => (fault === undefined ? resolve() : reject(fault)));
      this.send(head + receipt, body);
    });
  }

  /** Says goodbye: everything sent before has its effect. Resolves when the connection has ended, whichever way. */
  async close(): Promise<void> {
    if (this.over) return;
    this.request('DISCONNECT\n').then(
      () => this.destroy(),
      () => this.destroy(),
    );
    await this.ended;
  }

  /** The broker learns of it as it would of a process that died. */
  destroy(): void {
    this.socket.terminate();
  }

  get backlog(): number {
    return this.socket.backlog + this.writer.bytes;
  }

  private flush(): void {
    this.flushing = false;
    if (!this.over && this.writer.bytes > 0) this.socket.write(this.writer.take());
  }

  /**
   * A receipt vouches for what was sent before it, unless something of that was refused: Artemis goes on with what it has read of a connection,
   * and answers the last of it after the ERROR.
   */
  private received(id: string): void {
    if (this.fault !== undefined) return;
    const callback = this.receipts.get(id);
    this.receipts.delete(id);
    callback?.(undefined);
  }

  /** An ERROR frame: the broker ends the connection after it. */
  private refused(headers: Readonly<Record<string, string>>, body: string): void {
    // Artemis writes the whole message into its text, headers and all.
    const text = (headers['message'] ?? body).replace(/ (Core|AMQP)?Message\[[\s\S]*$/, '').slice(0, 1_000);
    const receipt = headers['receipt-id'];
    this.fault ??= new StompFault(text, { refused: true, ...(receipt === undefined ? {} : { receipt }) });
    this.destroy();
  }

  private finish(): StompFault {
    this.over = true;
    const fault = (this.fault ??= GONE);
    this.opening?.reject(fault);
    const waiting = [...this.receipts];
    this.receipts.clear();
    for (const [id, callback] of waiting) callback(id === fault.details.receipt ? fault : lost(fault));
    return fault;
  }
}

const GONE = new StompFault('the connection ended', { refused: false });

/** For frames that went down with the one that was refused. */
function lost(fault: StompFault): StompFault {
  // Where the broker does not say which one it was, it may have been any of them.
  if (fault.details.receipt === undefined) return fault;
  return new StompFault(`the connection ended: ${fault.text}`, { refused: false });
}

/** The head of a SUBSCRIBE frame. */
export function subscribeHead(id: string, destination: string, headers: Readonly<Record<string, string>>): string {
  let head = `SUBSCRIBE\nid:${id}\n${header('destination', destination)}`;
  for (const [name, value] of Object.entries(headers)) head += header(name, value);
  return head;
}
