import { type AddressInfo, connect, createServer, Socket } from 'node:net';
import type { SocketTarget } from './kafka.options.js';

/** One request on its way to a broker. */
export interface RequestFrame {
  readonly api: number;
  /** Of the broker that it goes to. */
  readonly port: number;
  /** With its length before it. */
  readonly bytes: Buffer;
}

/** What becomes of a request: it goes on; or its answer is lost and the connection with it, the broker having done what it was asked. */
export type Meddling = 'go' | 'lose-answer';

export const PRODUCE = 0;
export const READ_POSITIONS = 9;
export const FIND_COORDINATOR = 10;
export const SYNC_GROUP = 14;
export const TAKE_OVER = 22;
export const END_TRANSACTION = 26;
export const POSITION = 28;

/** A network that reads along: what passes can be held up, and an answer lost at just the wrong moment. */
export class MeddlingNetwork {
  /** Asked of each request before it goes on; those of one connection wait for each other. */
  meddle: (request: RequestFrame) => Promise<Meddling> | Meddling = () => 'go';

  readonly open = ({ host, port }: SocketTarget): Socket => {
    const client = new Socket();
    const relay = createServer((near) => {
      relay.close();
      this.join(near, connect({ host, port }), port);
    });
    relay.listen(0, '127.0.0.1', () => client.connect((relay.address() as AddressInfo).port, '127.0.0.1'));
    return client;
  };

  /** Sends a copy of a request over a connection of its own, as if it had been on its way all the time. Resolves to its answer. */
  async arriveLate({ port, bytes }: RequestFrame): Promise<Buffer> {
    const socket = connect({ host: '127.0.0.1', port });
    try {
      return await new Promise<Buffer>((resolve, reject) => {
        const read = frames((frame) => resolve(frame));
        socket.on('data', read);
        socket.on('error', reject);
        socket.write(bytes);
      });
    } finally {
      socket.destroy();
    }
  }

  private join(near: Socket, far: Socket, port: number): void {
    const lost = new Set<number>();
    const end = (): void => {
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) socket.on('error', end).on('close', end).setNoDelay(true);
    let turn = Promise.resolve();
    near.on(
      'data',
      frames((bytes) => {
        turn = turn.then(async () => {
          if ((await this.meddle({ api: bytes.readInt16BE(4), port, bytes })) === 'lose-answer')
            lost.add(bytes.readInt32BE(8));
          far.write(bytes);
        });
      }),
    );
    far.on(
      'data',
      frames((bytes) => {
        if (lost.has(bytes.readInt32BE(4))) end();
        else near.write(bytes);
      }),
    );
  }
}

/** Cuts what arrives into frames: a length of four bytes and as many after it. */
function frames(take: (frame: Buffer) => void): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
      const size = 4 + rest.readInt32BE(0);
      take(Buffer.from(rest.subarray(0, size)));
      rest = rest.subarray(size);
    }
  };
}
