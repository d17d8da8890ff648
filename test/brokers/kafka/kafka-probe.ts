import { askOverTcp } from '../tcp-probe.js';

const METADATA = 3;
const METADATA_VERSION = 4;

/**
 * Asks for the ids of the brokers that take part in the cluster now, by a hand-made Metadata request. An open port is
 * not enough: a broker answers before the controller has unfenced it, and then has nowhere to create a topic.
 */
export function liveBrokers(host: string, port: number, timeout = 2_000): Promise<number[]> {
  return askOverTcp(
    { host, port, say: request() },
    (received) => {
      const isComplete = received.length >= 4 && received.length >= 4 + received.readInt32BE(0);
      return isComplete ? brokerIds(received) : undefined;
    },
    timeout,
  );
}

function request(): Buffer {
  const client = 'probe';
  const body = Buffer.alloc(4 + 2 + 2 + 4 + 2 + client.length + 4 + 1);
  let at = body.writeInt32BE(body.length - 4, 0);
  at = body.writeInt16BE(METADATA, at);
  at = body.writeInt16BE(METADATA_VERSION, at);
  at = body.writeInt32BE(1, at);
  at = body.writeInt16BE(client.length, at);
  at += body.write(client, at);
  // No topics, and none created by asking.
  at = body.writeInt32BE(0, at);
  body.writeUInt8(0, at);
  return body;
}

/** size, correlation id, throttle time, then the brokers: id, host, port, nullable rack. */
function brokerIds(answer: Buffer): number[] {
  const ids: number[] = [];
  let at = 12;
  const brokers = answer.readInt32BE(at);
  at += 4;
  for (let i = 0; i < brokers; i++) {
    ids.push(answer.readInt32BE(at));
    at += 4;
    at += 2 + answer.readInt16BE(at) + 4;
    at += 2 + Math.max(0, answer.readInt16BE(at));
  }
  return ids;
}
