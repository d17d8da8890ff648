import { askOverTcp } from '../tcp-probe.js';

/** AMQP 1.0's header for SASL; a broker answers with the same. */
const SASL_HEADER = Buffer.from('AMQP\x03\x01\0\0', 'latin1');

/** Begins AMQP 1.0's handshake. An open port is not enough: it stays open when the broker is suspended. */
export async function speaksAmqp(host: string, port: number): Promise<void> {
  await askOverTcp({ host, port, say: SASL_HEADER }, (received) => {
    if (received.length < SASL_HEADER.length) return undefined;
    if (!received.subarray(0, SASL_HEADER.length).equals(SASL_HEADER)) throw new Error('does not speak AMQP 1.0');
    return true;
  });
}
