import { join } from 'node:path';
import { BrokerProcess } from '../broker-process.js';
import { askOverTcp } from '../tcp-probe.js';

/** A request of one byte, which asks for the names of all nodes. */
const NAMES_REQUEST = Buffer.from([0, 1, 'n'.charCodeAt(0)]);

/**
 * Erlang's port mapper, an own one: a node would start one by itself, as a daemon for the whole machine, which outlives
 * the node and is then shared with whatever else is written in Erlang here.
 */
export function epmdProcess(command: string, port: number, folder: string): BrokerProcess {
  return new BrokerProcess({
    name: `epmd (127.0.0.1:${port})`,
    command,
    args: ['-port', String(port), '-address', '127.0.0.1'],
    folder,
    logFile: join(folder, 'epmd.log'),
    pidFile: join(folder, 'epmd.pid'),
    portTaken: /Address already in use/,
    // It answers with its own port first.
    probe: () =>
      askOverTcp({ host: '127.0.0.1', port, say: NAMES_REQUEST }, (received) => received.length >= 4 || undefined),
  });
}
