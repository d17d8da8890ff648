import { connect, type Socket } from 'node:net';
import type { SocketTarget } from './kafka.options.js';

/**
 * The network of a process that may be suspended: while it stalls nothing gets through in either direction and nothing breaks; what was
 * on its way then arrives late.
 */
export class StallingNetwork {
  private readonly sockets = new Set<Socket>();
  private stalled = false;

  readonly open = ({ host, port }: SocketTarget): Socket => {
    const socket = connect({ host, port });
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
    if (this.stalled) hold(socket);
    return socket;
  };

  stall(): void {
    this.stalled = true;
    for (const socket of this.sockets) hold(socket);
  }

  go(): void {
    this.stalled = false;
    for (const socket of this.sockets) {
      socket.uncork();
      socket.resume();
    }
  }
}

function hold(socket: Socket): void {
  socket.cork();
  socket.pause();
}
