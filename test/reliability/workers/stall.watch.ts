import { type HistoryWriter, historyTime } from 'nestjs-eventing/testing';
import { LEASE } from './worker.setup.js';

/** Milliseconds between two looks at the clock. */
const PULSE = 50;

/**
 * A process that does not get to run is as good as stopped: on a busy machine its leases end, and others go on. That is on record as what
 * it is, or what follows from it would look like nobody's fault.
 */
export function watchForStalls(history: HistoryWriter, process: string): void {
  let last = historyTime();
  const look = (): void => {
    const now = historyTime();
    if (now - last > LEASE / 4)
      history.note({ kind: 'fault', fault: 'stopped', process, what: 'did not get to run', from: last, to: now });
    last = now;
  };
  setInterval(look, PULSE).unref();
}
