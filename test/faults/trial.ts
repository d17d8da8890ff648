import { randomUUID } from 'node:crypto';
import { eventually } from '../../libs/testing/src/conformance/eventually.js';
import { SeededRandom } from '../../libs/testing/src/conformance/seeded.random.js';
import { historyTime } from '../../libs/testing/src/index.js';
import type { KafkaBroker } from '../brokers/brokers.js';
import { ScratchFolder } from '../brokers/scratch-folder.js';
import { BrokerView } from './broker.view.js';
import type { Programs } from '../programs/programs.js';
import type { Limits } from './checker/limits.js';
import { judge, type Verdict } from './checker/history.checker.js';
import { Fleet, type Member } from './fleet.js';
import { PositionWatch } from './position.watch.js';

/** Milliseconds for whatever is waited for; a busy machine needs them, a free one does not. */
const PATIENCE = 120_000;

export interface TrialSetup {
  readonly kafka: KafkaBroker;
  readonly programs: Programs;
  readonly seed: number;
  /** Milliseconds. @default 30000 */
  readonly publishTimeout?: number;
  /** The sender's connections break. @default false */
  readonly brittle?: boolean;
}

/** One service under load, with faults that the test brings about, and the judgement in the end. */
export class Trial {
  readonly random: SeededRandom;
  /** The listening processes that are there, ready or not. */
  readonly listeners = new Set<Member>();
  sender: Member | undefined;

  private constructor(
    private readonly kafka: KafkaBroker,
    private readonly folder: ScratchFolder,
    private readonly fleet: Fleet,
    readonly view: BrokerView,
    private readonly watch: PositionWatch,
    seed: number,
  ) {
    this.random = new SeededRandom(seed);
  }

  /** So many listening processes, then one that sends. */
  static async begin(setup: TrialSetup, listeners: number): Promise<Trial> {
    const { kafka, programs, seed, publishTimeout = 30_000, brittle = false } = setup;
    const { brokers } = kafka.access;
    const service = `shop-${randomUUID().slice(0, 8)}`;
    const channel = `${service}.counted`;
    const folder = await ScratchFolder.create('faults');
    const fleet = new Fleet({ brokers, service, channel, publishTimeout, brittle, programs, folder: folder.path });
    const view = new BrokerView(brokers, channel, `${service}.Counter`);
    const trial = new Trial(kafka, folder, fleet, view, new PositionWatch(view), seed);
    try {
      await trial.join(listeners);
      trial.sender = fleet.start('sending', trial.random.below(1e9));
      await fleet.ready(trial.sender);
      await trial.untilHandled(300);
    } catch (error) {
      await trial.close();
      throw error;
    }
    return trial;
  }

  /** So many more processes, ready when it resolves. */
  async join(count: number): Promise<void> {
    const members = Array.from({ length: count }, () => this.arrive());
    await Promise.all(members.map((member) => this.fleet.ready(member)));
  }

  /** One more process, which is not waited for. */
  arrive(): Member {
    const member = this.fleet.start('listening', this.random.below(1e9));
    this.listeners.add(member);
    return member;
  }

  async leave(member: Member): Promise<void> {
    this.listeners.delete(member);
    // Before that it does not know yet what SIGTERM means.
    await this.fleet.ready(member);
    await this.fleet.leave(member);
  }

  async kill(...members: readonly Member[]): Promise<void> {
    for (const member of members) this.listeners.delete(member);
    await Promise.all(members.map((member) => this.fleet.kill(member)));
  }

  stop(member: Member, meanwhile: () => Promise<void>): Promise<void> {
    return this.fleet.stop(member, meanwhile);
  }

  /** The broker is killed, and comes back with its data after `meanwhile`. */
  async cutOff(meanwhile: () => Promise<void>): Promise<void> {
    const from = historyTime();
    await this.kafka.kill();
    await meanwhile();
    await this.kafka.restart();
    this.fleet.faults.push({ kind: 'fault', fault: 'cut off', what: 'kafka', from, to: historyTime() });
  }

  /** Any of those that are ready. */
  any(): Member {
    const members = [...this.listeners].filter(({ history }) => history.count('ready') > 0);
    return members[this.random.below(members.length)] as Member;
  }

  async untilHandled(more: number): Promise<void> {
    const before = this.fleet.handled();
    await this.until(`${more} more are handled`, () => this.fleet.handled() >= before + more);
  }

  /** Somebody got on with each partition, also with those of whoever is gone. */
  async untilAllMoveOn(): Promise<void> {
    let ends: ReadonlyMap<number, number> | undefined;
    await this.until('each partition goes on', async () => {
      ends ??= await this.view.ends();
      const positions = await this.view.positions();
      return [...ends].every(([partition, end]) => (positions.get(partition) ?? -1) >= end);
    });
  }

  until(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
    return eventually(what, check, PATIENCE, () => this.fleet.said());
  }

  /** The sender ends, everything is handled and on record, all leave in good order; then what happened is judged. */
  async conclude(limits: Limits): Promise<Verdict & { readonly said: string }> {
    if (this.sender !== undefined) await this.fleet.leave(this.sender);
    await this.untilAllMoveOn();
    await Promise.all([...this.listeners].map((member) => this.leave(member)));
    await this.watch.stop();
    const stored = await this.view.stored();
    const commits = await this.view.commits();
    const { faults } = this.fleet;
    const { sightings } = this.watch;
    const history = {
      sends: this.fleet.sends(),
      stored,
      handlings: this.fleet.handlings(),
      sightings,
      commits,
      faults,
    };
    return { ...judge(history, limits), said: this.fleet.said() };
  }

  async close(): Promise<void> {
    await this.fleet.close();
    await this.watch.stop();
    await this.view.close();
    await this.folder.remove();
  }
}
