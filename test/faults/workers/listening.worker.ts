import 'reflect-metadata';
import { setTimeout as pause } from 'node:timers/promises';
import { type Envelope, EventListener } from 'nestjs-eventing';
import { SeededRandom } from '../../../libs/testing/src/conformance/seeded.random.js';
import { Counted } from './counted.event.js';
import { HistoryWriter } from './history.writer.js';
import { asked, startApplication } from './worker.application.js';
import { setup } from './worker.argument.js';
import { WINDOW } from './worker.setup.js';

/** Milliseconds that handling takes at most. */
const LONGEST = 12;

const history = new HistoryWriter(setup.history);
const random = new SeededRandom(setup.seed);

// Whatever is killed that often is no poison here: a dead letter would count as lost.
@EventListener(Counted, { concurrency: 16, window: WINDOW, retry: { attempts: 100 } })
class Counter implements EventListener<Counted> {
  async on({ key, number }: Counted, { attempt }: Envelope<Counted>): Promise<void> {
    history.note({ kind: 'started', key, number, attempt });
    await pause(random.below(LONGEST));
    history.note({ kind: 'ended', key, number });
  }
}

const app = await startApplication([Counter]);
history.note({ kind: 'ready' });
await asked;
await app.close();
