import { connect, type Socket } from 'node:net';
import type { SeededRandom } from '../../../libs/testing/src/conformance/seeded.random.js';

/** One of so many requests is the last of its connection. */
const BREAKS = 40;

/** Connections that break just after a request has left: the broker gets it, and its answer reaches nobody. */
export class BrittleNetwork {
  constructor(private readonly random: SeededRandom) {}

  readonly open = ({ host, port }: { readonly host: string; readonly port: number }): Socket => {
    const socket = connect({ host, port });
    const write = socket.write.bind(socket) as (...args: readonly unknown[]) => boolean;
    socket.write = (...args: readonly unknown[]): boolean => {
      const flows = write(...args);
      if (this.random.below(BREAKS) === 0) setImmediate(() => socket.destroy(new Error('the connection broke')));
      return flows;
    };
    return socket;
  };
}
