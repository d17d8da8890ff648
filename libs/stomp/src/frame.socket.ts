import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, TLSSocket } from 'node:tls';
import { type IStompSocket, StompSocketState } from '@stomp/stompjs';
import { type Frame, FrameReader } from './frame.reader.js';
import type { ResolvedStompOptions } from './stomp.options.js';

/** Who takes the frames that stompjs does not see. */
export interface FrameListener {
  message(frame: Frame): void;
  receipt(frame: Frame): void;
  /** A message of so many bytes was too large to be kept. */
  oversized(head: string, bytes: number): void;
  /** The connection is about to end because of this. */
  fault(error: Error): void;
}

const SIGN_OF_LIFE = '\n';

/**
 * A socket in the shape that stompjs knows, with the frames that come by the thousand taken out on the way: stompjs reads byte by
 * byte, drops blanks around header values, confuses an escaped backslash before an `n`, and has no bound for what it keeps. What it
 * does get is the hand-shake, ERROR and a sign of life for each piece of what came.
 */
export class FrameSocket implements IStompSocket {
  readonly url = 'stomp';
  onclose: (() => void) | undefined;
  onerror: ((event: unknown) => void) | undefined;
  onmessage: ((event: { readonly data: unknown }) => void) | undefined;
  onopen: (() => void) | undefined;
  readyState: StompSocketState = StompSocketState.CONNECTING;
  private readonly socket: Socket;
  private readonly reader: FrameReader;

  constructor(options: ResolvedStompOptions, listener: FrameListener) {
    this.reader = new FrameReader(options.maxFrameBytes, {
      frame: (frame) => {
        if (frame.command === 'MESSAGE') listener.message(frame);
        else if (frame.command === 'RECEIPT') listener.receipt(frame);
        else this.onmessage?.({ data: bytesOf(frame) });
      },
      oversized: (_command, head, bytes) => listener.oversized(head, bytes),
    });
    this.socket = openSocket(options);
    this.socket.setNoDelay(true);
    this.socket.once(this.socket instanceof TLSSocket ? 'secureConnect' : 'connect', () => {
      this.readyState = StompSocketState.OPEN;
      this.onopen?.();
    });
    this.socket.on('data', (chunk) => {
      try {
        this.onmessage?.({ data: SIGN_OF_LIFE });
        this.reader.push(chunk);
      } catch (error) {
        listener.fault(error as Error);
        this.terminate();
      }
    });
    this.socket.on('error', (error) => listener.fault(error));
    this.socket.once('close', () => {
      this.readyState = StompSocketState.CLOSED;
      // stompjs takes a turn before it listens.
      setImmediate(() => this.onclose?.());
    });
  }

  /** Bytes that wait for the network. */
  get backlog(): number {
    return this.socket.writableLength;
  }

  write(frames: Buffer): void {
    if (this.readyState === StompSocketState.OPEN) this.socket.write(frames);
  }

  /** For stompjs. */
  send(data: string | ArrayBufferLike | ArrayBufferView | object): void {
    if (this.readyState !== StompSocketState.OPEN) return;
    if (typeof data === 'string') this.socket.write(data);
    else this.socket.write(new Uint8Array(data as ArrayBufferLike));
  }

  close(): void {
    if (this.readyState === StompSocketState.CLOSED) return;
    this.readyState = StompSocketState.CLOSING;
    this.socket.end();
  }

  terminate(): void {
    if (this.readyState === StompSocketState.CLOSED) return;
    this.readyState = StompSocketState.CLOSING;
    this.socket.destroy();
  }
}

function openSocket({ host, port, tls, openSocket: open }: ResolvedStompOptions): Socket {
  if (open !== undefined) return open({ host, port, tls });
  if (tls === undefined) return connectTcp({ host, port });
  // An address is no name that a certificate is asked for.
  return connectTls({ ...(isIP(host) === 0 ? { servername: host } : {}), ...tls, host, port });
}

function bytesOf({ command, head, body }: Frame): Uint8Array {
  return Buffer.concat([Buffer.from(`${command}\n${head}\n\n`), body, Buffer.of(0)]);
}
