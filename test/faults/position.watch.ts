import { setTimeout as pause } from 'node:timers/promises';
import { historyTime } from '../../libs/testing/src/index.js';
import type { BrokerView } from './broker.view.js';
import type { Sighting } from './history.js';

/** Milliseconds between two looks. */
const PAUSE = 100;

/** Looks at the group's positions all the time, so that it is known what was on record when. */
export class PositionWatch {
  readonly sightings: Sighting[] = [];
  private readonly last = new Map<number, number>();
  private readonly running: Promise<void>;
  private stopped = false;

  constructor(private readonly view: BrokerView) {
    this.running = this.watch();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.running;
  }

  private async watch(): Promise<void> {
    while (!this.stopped) {
      await this.look().catch(() => undefined);
      await pause(PAUSE);
    }
  }

  private async look(): Promise<void> {
    const positions = await this.view.positions();
    // When the answer is here, so that it was true by then.
    const at = historyTime();
    for (const [partition, offset] of positions) {
      if (this.last.get(partition) === offset) continue;
      this.last.set(partition, offset);
      this.sightings.push({ at, partition, offset });
    }
  }
}
