import type { Trial, TrialSetup } from './trial.js';

/** What happens to a service under load. Everything is still running, or ends in good order, when it resolves. */
export interface Scenario {
  /** After "services on a real Kafka". */
  readonly title: string;
  /** Processes that listen at the beginning. */
  readonly listeners: number;
  readonly setup?: Pick<TrialSetup, 'publishTimeout' | 'brittle'>;
  play(shop: Trial): Promise<void>;
}

const COMING = ['comes', 'comes', 'comes'];
const LEAVING = ['leaves', 'leaves'];
const DYING = ['dies', 'dies', 'dies'];

export const BROKER_KILLED: Scenario = {
  title: 'go on when the broker is killed and comes back, twice',
  listeners: 3,
  setup: { publishTimeout: 3_000 },
  async play(shop) {
    await shop.cutOff(() => Promise.resolve());
    await shop.untilAllMoveOn();
    await shop.untilHandled(1_000);
    const refused = (): number => shop.sender?.history.count('refused') ?? 0;
    await shop.cutOff(() => shop.until('senders are told', () => refused() > 0));
    await shop.untilAllMoveOn();
    await shop.untilHandled(1_000);
  },
};

export const PROCESSES_KILLED: Scenario = {
  title: 'take over from a process that is killed, and from all of them',
  listeners: 3,
  async play(shop) {
    await shop.untilHandled(500 + shop.random.below(500));
    await shop.kill(shop.any());
    await shop.untilAllMoveOn();
    await shop.untilHandled(500 + shop.random.below(500));
    await shop.kill(...shop.listeners);
    await shop.join(2);
    await shop.untilAllMoveOn();
  },
};

export const PROCESS_STOPPED: Scenario = {
  title: 'lose nothing to a process that is stopped past its session, and do not follow it when it goes on',
  listeners: 2,
  async play(shop) {
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
  },
};

/** Each is waited for, so that partitions move from a process that is at work. */
export const GOOD_ORDER: Scenario = {
  title: 'repeat nothing while processes come and go in good order',
  listeners: 2,
  async play(shop) {
    for (let round = 0; round < 3; round++) {
      const newcomer = shop.arrive();
      await shop.until('it takes part', () => newcomer.history.count('ended') > 50);
      await shop.untilHandled(100 + shop.random.below(300));
      await shop.leave(shop.any());
      await shop.untilAllMoveOn();
    }
  },
};

/** Nobody is waited for, so that rebalances meet each other. */
export const ANYTHING: Scenario = {
  title: 'keep what they promise while processes come and go at random',
  listeners: 3,
  async play(shop) {
    const turns = shop.random.shuffled([...COMING, ...LEAVING, ...DYING]);
    while (turns.length > 0) {
      await shop.untilHandled(100 + shop.random.below(500));
      // Somebody has to be there.
      const [turn] = turns.splice(shop.listeners.size < 2 ? turns.indexOf('comes') : 0, 1);
      if (turn === 'comes') shop.arrive();
      else if (turn === 'leaves') await shop.leave(shop.any());
      else await shop.kill(shop.any());
    }
  },
};

export const CONNECTIONS_BROKEN: Scenario = {
  title: 'store once and in order what is sent over connections that break before the answer',
  listeners: 1,
  setup: { brittle: true },
  async play(shop) {
    await shop.untilHandled(3_000);
  },
};

export const SCENARIOS: readonly Scenario[] = [
  BROKER_KILLED,
  PROCESSES_KILLED,
  PROCESS_STOPPED,
  GOOD_ORDER,
  ANYTHING,
  CONNECTIONS_BROKEN,
];
