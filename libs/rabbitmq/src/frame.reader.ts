import type { ChannelModel, ConsumeMessage } from 'amqplib';
import { DeliveryParser } from './delivery.parser.js';

/** What is used of amqplib's connection beyond its types; `frame.reader.spec.ts` holds it to that. */
export interface ConnectionInternals {
  /** What came and was not read as frames yet. */
  rest: Buffer;
  readonly maxFrameSize: number;
  /** For heartbeats. */
  recvSinceLastCheck: boolean;
  readonly stream: { read(): Buffer | null };
  /** The next frame as amqplib decodes it, or false until more comes. */
  recvFrame(): unknown;
}

type Taker = (message: ConsumeMessage) => void;

const NOTHING = Buffer.alloc(0);

/**
 * Reads deliveries straight from the bytes of a connection, for the channels that ask for it; everything else is left to amqplib, and so
 * is every delivery that is out of the ordinary: one in several frames, one with headers of rare types, one that is malformed. Decoding
 * the three frames of a message costs amqplib more than all that we do with it (benchmarks/NOTES.md; decision 0014).
 */
export class FrameReader {
  private readonly takers = new Map<number, Taker>();
  private readonly parser = new DeliveryParser();
  /** Where in `rest` the next frame begins. */
  private at = 0;

  private constructor(
    private readonly connection: ConnectionInternals,
    private readonly usual: () => unknown,
  ) {}

  /** Of a connection that has just been opened. Undefined where amqplib is not the one that is known: then it reads everything. */
  static of({ connection }: ChannelModel): FrameReader | undefined {
    const internals = connection as unknown;
    if (!isKnown(internals)) return undefined;
    const reader = new FrameReader(internals, internals.recvFrame.bind(internals));
    internals.recvFrame = () => reader.next();
    return reader;
  }

  /** Hands deliveries of this AMQP channel to `take`, until it is told otherwise. They may come by the usual way as well, in between. */
  route(channel: number, take: Taker | undefined): void {
    if (take === undefined) this.takers.delete(channel);
    else this.takers.set(channel, take);
  }

  private next(): unknown {
    const { connection, parser } = this;
    for (;;) {
      const end = this.takers.size === 0 ? undefined : parser.parse(connection.rest, this.at, connection.maxFrameSize);
      if (end === undefined || (end > 0 && !this.takers.has(parser.channel))) return this.leave();
      if (end > 0) {
        this.at = end;
        this.takers.get(parser.channel)?.(parser.message());
        continue;
      }
      const incoming = connection.stream.read();
      if (incoming === null) return false;
      connection.recvSinceLastCheck = true;
      const { rest } = connection;
      connection.rest = this.at === rest.length ? incoming : Buffer.concat([rest.subarray(this.at), incoming]);
      this.at = 0;
    }
  }

  /** One frame for amqplib. */
  private leave(): unknown {
    const { connection } = this;
    if (this.at > 0) {
      connection.rest = this.at === connection.rest.length ? NOTHING : connection.rest.subarray(this.at);
      this.at = 0;
    }
    return this.usual();
  }
}

function isKnown(connection: unknown): connection is ConnectionInternals {
  if (typeof connection !== 'object' || connection === null) return false;
  const { rest, maxFrameSize, recvSinceLastCheck, stream, recvFrame } = connection as Partial<ConnectionInternals>;
  return (
    Buffer.isBuffer(rest) &&
    typeof maxFrameSize === 'number' &&
    typeof recvSinceLastCheck === 'boolean' &&
    typeof stream?.read === 'function' &&
    typeof recvFrame === 'function'
  );
}
