import { Socket } from 'node:net';

/** The network of one process: cut, its connections break and no new one is made, as if it had died or its host were unplugged. */
export class InstanceNetwork {
  readonly #sockets = new Set<Socket>();
  #isCut = false;

  /** Opens a socket. Give it to the client of one provider. */
  readonly open = ({ host, port }: { readonly host: string; readonly port: number }): Socket => {
    const socket = new Socket();
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    if (this.#isCut) setImmediate(() => socket.destroy(new Error('the network is cut')));
    else socket.connect({ host, port });
    return socket;
  };

  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy(new Error('the network is cut'));
  }

  mend(): void {
    this.#isCut = false;
  }
}
