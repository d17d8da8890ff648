import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type KafkaBroker, startOwnKafka } from '../brokers/brokers.js';
import { BuiltWorkers } from './built.workers.js';
import type { Limits } from './checker/fault.reach.js';
import { Trial } from './trial.js';
import { COMMIT_INTERVAL, PARTITIONS, SESSION_TIMEOUT, WINDOW } from './workers/worker.setup.js';

/** The first run of all resolves the broker's jars. */
const PATIENCE = 300_000;

const seed = Number(process.env['FAULT_SEED'] ?? Date.now() % 1_000_000);
const LIMITS: Limits = {
  unwritten: COMMIT_INTERVAL + 2_000,
  recovery: SESSION_TIMEOUT,
  awakening: 3_000,
  inHand: WINDOW * PARTITIONS,
};

const COMING = ['comes', 'comes', 'comes'];
const LEAVING = ['leaves', 'leaves'];
const DYING = ['dies', 'dies', 'dies'];

describe(`services on a real Kafka, with faults (FAULT_SEED=${seed})`, { timeout: 180_000 }, () => {
  let kafka: KafkaBroker | undefined;
  let workers: BuiltWorkers | undefined;
  let why = '';
  let trial: Trial | undefined;
  beforeAll(async () => {
    const [had, built] = await Promise.all([startOwnKafka(), BuiltWorkers.build()]);
    workers = built;
    if (had.available) kafka = had;
    else why = `no Kafka: ${had.reason}`;
  }, PATIENCE);
  beforeEach(({ skip }) => skip(kafka === undefined, why));
  afterEach(() => trial?.close());
  afterAll(async () => {
    await Promise.all([kafka?.close(), workers?.remove()]);
  });

  async function begin(listeners: number, options: { salt: number; publishTimeout?: number }): Promise<Trial> {
    if (kafka === undefined || workers === undefined) throw new Error(why);
    const { salt, ...rest } = options;
    return (trial = await Trial.begin({ kafka, workers, seed: seed * 10 + salt, ...rest }, listeners));
  }

  it('go on when the broker is killed and comes back, twice', async () => {
    const shop = await begin(3, { salt: 1, publishTimeout: 3_000 });
    await shop.cutOff(() => Promise.resolve());
    await shop.untilAllMoveOn();
    await shop.untilHandled(1_000);
    const refused = (): number => shop.sender?.history.count('refused') ?? 0;
    await shop.cutOff(() => shop.until('senders are told', () => refused() > 0));
    await shop.untilAllMoveOn();
    await shop.untilHandled(1_000);
    expect(await violationsOf(shop)).toEqual([]);
  });

  it('take over from a process that is killed, and from all of them', async () => {
    const shop = await begin(3, { salt: 2 });
    await shop.untilHandled(500 + shop.random.below(500));
    await shop.kill(shop.any());
    await shop.untilAllMoveOn();
    await shop.untilHandled(500 + shop.random.below(500));
    await shop.kill(...shop.listeners);
    await shop.join(2);
    await shop.untilAllMoveOn();
    expect(await violationsOf(shop)).toEqual([]);
  });

  it('lose nothing to a process that is stopped past its session, and do not follow it when it goes on', async () => {
    const shop = await begin(2, { salt: 3 });
    await shop.untilHandled(500 + shop.random.below(500));
    const sleeper = shop.any();
    await shop.stop(sleeper, async () => {
      await shop.until('its session is over', async () => (await shop.view.members()) === 1);
      await shop.untilAllMoveOn();
    });
    const before = sleeper.history.count('ended');
    await shop.until('it takes part again', async () => {
      return (await shop.view.members()) === 2 && sleeper.history.count('ended') > before + 200;
    });
    expect(await violationsOf(shop)).toEqual([]);
  });

  it('keep what they promise while processes come and go at random', async () => {
    const shop = await begin(3, { salt: 4 });
    const turns = shop.random.shuffled([...COMING, ...LEAVING, ...DYING]);
    while (turns.length > 0) {
      await shop.untilHandled(100 + shop.random.below(500));
      // Somebody has to be there.
      const [turn] = turns.splice(shop.listeners.size < 2 ? turns.indexOf('comes') : 0, 1);
      if (turn === 'comes') shop.arrive();
      else if (turn === 'leaves') await shop.leave(shop.any());
      else await shop.kill(shop.any());
    }
    expect(await violationsOf(shop)).toEqual([]);
  });
});

/** Prints the figures; and where something is wrong, what the processes said, of which a few violations tell enough. */
async function violationsOf(shop: Trial): Promise<readonly string[]> {
  const { violations, figures, said } = await shop.conclude(LIMITS);
  const told = Object.entries(figures).map(([name, count]) => `${name} ${count}`);
  console.log(`${expect.getState().currentTestName}: ${told.join(', ')}`);
  if (violations.length > 0) console.log(`${violations.length} violations. ${said}`);
  return violations.slice(0, 30);
}
