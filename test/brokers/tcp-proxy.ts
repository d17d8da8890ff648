import { connect, createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';

/** The way of one process to the broker: cut, its connections break and no new one is made, as if it had died. */
export class TcpProxy {
  readonly #sockets = new Set<Socket>();
  /** Connections that were asked for. */
  attempts = 0;
  #isCut = false;

  private constructor(private readonly server: Server) {}

  static async open(target: { readonly host: string; readonly port: number }): Promise<TcpProxy> {
    const server = createServer();
    const proxy = new TcpProxy(server);
    server.on('connection', (near) => proxy.#pair(near, connect({ ...target, noDelay: true })));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: '127.0.0.1', port: 0 }, resolve);
    });
    return proxy;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  cut(): void {
    this.#isCut = true;
    this.reset();
  }

  mend(): void {
    this.#isCut = false;
  }

  /** Breaks what is there; new connections are made. */
  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Lets nothing through, and leaves connections open: as a process that is stopped, or a network that swallows everything. */
  freeze(): void {
    for (const socket of this.#sockets) socket.pause();
  }

  thaw(): void {
    for (const socket of this.#sockets) socket.resume();
  }

  close(): void {
    this.cut();
    this.server.close();
  }

  #pair(near: Socket, far: Socket): void {
    this.attempts++;
    near.setNoDelay(true);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => other.resetAndDestroy());
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.resetAndDestroy();
      });
      socket.pipe(other);
    }
    if (this.#isCut) this.reset();
  }
}
