import 'reflect-metadata';
import { EventingError, EventManager } from 'nestjs-eventing';
import { SeededRandom } from '../../../libs/testing/src/conformance/seeded.random.js';
import { BrittleNetwork } from './brittle.network.js';
import { Counted } from './counted.event.js';
import { HistoryWriter } from './history.writer.js';
import { asked, startApplication } from './worker.application.js';
import { setup } from './worker.argument.js';

const KEYS = 60;
/** Milliseconds between two bursts. */
const PAUSE = 10;
const BURST = 8;

const history = new HistoryWriter(setup.history);
const random = new SeededRandom(setup.seed);
const counts = new Map<string, number>();
const open = new Set<Promise<void>>();

/** Without waiting for the answers: call order has to be enough. */
function sendNext(events: EventManager): void {
  const key = `k${random.below(KEYS)}`;
  const number = counts.get(key) ?? 0;
  counts.set(key, number + 1);
  history.note({ kind: 'sent', key, number });
  const send = events.sendEvent(Counted, { key, number }).then(
    () => history.note({ kind: 'acknowledged', key, number }),
    (error: unknown) => {
      const kind = error instanceof EventingError && !error.indeterminate ? 'refused' : 'indeterminate';
      history.note({ kind, key, number, why: String(error) });
    },
  );
  open.add(send);
  void send.then(() => open.delete(send));
}

const network = new BrittleNetwork(random);
const app = await startApplication([], setup.brittle ? { openSocket: network.open } : {});
const events = app.get(EventManager);
const timer = setInterval(() => {
  for (let left = 1 + random.below(BURST * 2 - 1); left > 0; left--) sendNext(events);
}, PAUSE);
history.note({ kind: 'ready' });
await asked;
clearInterval(timer);
await Promise.all(open);
await app.close();
