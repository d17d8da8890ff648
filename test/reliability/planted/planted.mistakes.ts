import type { Planting } from '../../programs/planting.js';
import type { Property } from '../../../libs/testing/src/index.js';
import type { SystemName } from '../workers/worker.setup.js';

/** A mistake in the package, or in the service that uses it, and what a run must call it. */
export interface PlantedMistake extends Planting {
  /** Where it is played. @default 'postgres', whose parts start soonest: the mistakes are in what all systems share */
  readonly system?: SystemName;
  /** At least one violation of each of them. */
  readonly shows: readonly Property[];
}

export const PLANTED_MISTAKES: readonly PlantedMistake[] = [
  {
    name: 'an inbox that does not record',
    file: 'libs/postgres/src/inbox/postgres.inbox',
    instead: 'await adapter(this.#statements.enter,',
    put: 'await ((...entered) => entered)(this.#statements.enter,',
    shows: ['inbox'],
  },
  {
    name: 'a relay that writes down what it has not published yet',
    file: 'libs/postgres/src/outbox/outbox.relay',
    instead: 'return this.#settle(held, rows, await batch.run(goOn));',
    // And takes its time in between: a process that is killed is to be killed there.
    put: `await this.#settle(held, rows, { sent: rows, failed: [], away: undefined });
      await new Promise((resolve) => setTimeout(resolve, 700));
      await batch.run(goOn);
      return 0;`,
    shows: ['lost', 'outbox'],
  },
  {
    name: 'a service that sends past its transaction',
    file: 'test/reliability/workers/producing.worker',
    instead: 'await outbox.within(adapter, work);',
    // And takes its time, so that somebody hears of it before the commit; not on PostgreSQL, whose log is read behind open transactions.
    put: 'await work(adapter); await pause(300);',
    system: 'rabbitmq',
    shows: ['undone', 'early', 'outbox'],
  },
  {
    name: 'a listener that does not wait for its work',
    file: 'test/reliability/workers/consuming.worker',
    instead: "return handle({ channel: 'orders', listener: CHARGE }, envelope,",
    put: "void handle({ channel: 'orders', listener: CHARGE }, envelope,",
    shows: ['lost', 'inbox'],
  },
];
