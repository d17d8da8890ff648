import { askOverTcp } from '../tcp-probe.js';

const PROTOCOL_HEADER = Buffer.from('AMQP\0\0\x09\x01', 'latin1');
const METHOD_FRAME = 1;
const FRAME_OVERHEAD = 8;
/** Its name and the letter for the type of a long string, in the table of the server's properties. */
const VERSION_FIELD = Buffer.from('\x07versionS', 'latin1');

/**
 * Begins AMQP 0-9-1's handshake and gives the version that the broker tells in Connection.Start. An open port is not
 * enough: it is open before anybody answers, and stays so when the broker is suspended.
 */
export function rabbitMqVersion(host: string, port: number): Promise<string> {
  return askOverTcp({ host, port, say: PROTOCOL_HEADER }, (received) => {
    if (received.length < FRAME_OVERHEAD || received.length < FRAME_OVERHEAD + received.readUInt32BE(3))
      return undefined;
    if (received[0] !== METHOD_FRAME) throw new Error('does not speak AMQP 0-9-1');
    const field = received.indexOf(VERSION_FIELD);
    if (field < 0) throw new Error('tells no version');
    const at = field + VERSION_FIELD.length;
    return received.toString('utf8', at + 4, at + 4 + received.readUInt32BE(at));
  });
}
