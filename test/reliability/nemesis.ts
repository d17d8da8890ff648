import { setTimeout as pause } from 'node:timers/promises';
import { type HistoryWriter, historyTime } from '../../libs/testing/src/index.js';
import type { SeededRandom } from '../../libs/testing/src/conformance/seeded.random.js';
import type { Crew, Member, Role } from './crew.js';
import type { PlannedFault } from './fault.plan.js';
import type { ShopDatabase } from './shop.database.js';
import type { Part, System } from './systems/system.js';

/** How often a broker that was killed is started at most. */
const STARTS = 3;

/** Brings about what is planned. Whoever is killed has a successor, so that the service goes on. */
export class Nemesis {
  readonly #underWay = new Set<Promise<void>>();
  readonly #failures: string[] = [];

  constructor(
    private readonly system: System,
    private readonly crew: Crew,
    private readonly database: ShopDatabase,
    private readonly random: SeededRandom,
    private readonly faults: HistoryWriter,
    private readonly say: (text: string) => void,
  ) {}

  /** Resolves when it is over; or when it is under way, where the next one may meet it. Whether it failed `rest` tells. */
  async strike(fault: PlannedFault): Promise<void> {
    const blow = this.#watch(this.#bringAbout(fault));
    if (fault.alone) await blow;
  }

  /** Nothing is under way any more. @returns what could not be brought about, or did not come back */
  async rest(): Promise<readonly string[]> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
    return this.#failures.splice(0);
  }

  #watch(work: Promise<unknown>): Promise<void> {
    const over = work
      .then(
        () => undefined,
        (error: unknown) => void this.#failures.push(`not brought about: ${String(error)}`),
      )
      .finally(() => this.#underWay.delete(over));
    this.#underWay.add(over);
    return over;
  }

  async #bringAbout({ kind, length }: PlannedFault): Promise<void> {
    switch (kind) {
      case 'a consumer is killed':
        return this.#replace(this.#any('consuming'), kind);
      case 'a producer is killed':
        return this.#replace(this.#any('producing'), kind);
      case 'the relay is killed':
        return this.#replace(await this.#relay(), kind);
      case 'a consumer is stopped':
        return this.#stop(this.#any('consuming'), length, kind);
      case 'the relay is stopped':
        return this.#stop(await this.#relay(), length, kind);
      case 'the broker is killed':
        return this.#cutOff(this.#anyOf(this.system.parts.filter(({ name }) => name !== 'postgres')), length);
      case 'the database is killed':
        return this.#cutOff(
          this.system.parts.find(({ name }) => name === 'postgres'),
          length,
        );
      case 'a consumer comes and another goes': {
        const member = this.#any('consuming');
        this.say(`${kind}: ${member?.name}`);
        this.#join('consuming');
        if (member !== undefined && this.crew.free('consuming').length > 1) await this.crew.leave(member);
      }
    }
  }

  async #replace(member: Member | undefined, why: string): Promise<void> {
    if (member === undefined) return;
    this.say(`${why}: ${member.name}`);
    await this.crew.kill(member);
    this.#join(member.role);
  }

  /** Is not waited for: a process starts while others are killed. */
  #join(role: Role): void {
    void this.#watch(this.crew.join(role));
  }

  async #stop(member: Member | undefined, length: number, why: string): Promise<void> {
    if (member === undefined) return;
    this.say(`${why}: ${member.name}, for ${length} ms`);
    await this.crew.stop(member, length);
  }

  async #cutOff(part: Part | undefined, length: number): Promise<void> {
    if (part === undefined) return;
    this.say(`${part.name} is killed, for ${length} ms`);
    const from = historyTime();
    await part.kill();
    await pause(length);
    await comeBack(part, STARTS);
    this.faults.note({ kind: 'fault', fault: 'cut off', what: part.name, from, to: historyTime() });
  }

  /** Whoever publishes what is in the outbox; anybody, where that cannot be learned now. */
  async #relay(): Promise<Member | undefined> {
    const holder = await this.database.relay().catch(() => undefined);
    return (
      (holder === undefined ? undefined : this.crew.byName(holder)) ?? this.#any('producing') ?? this.#any('consuming')
    );
  }

  #any(role: Role): Member | undefined {
    return this.#anyOf(this.crew.free(role));
  }

  #anyOf<Item>(items: readonly Item[]): Item | undefined {
    return items[this.random.below(items.length)];
  }
}

/** A busy machine may be too slow for the patience of one start. */
async function comeBack(part: Part, starts: number): Promise<void> {
  try {
    await part.restart();
  } catch (error) {
    if (starts <= 1) throw error;
    await comeBack(part, starts - 1);
  }
}
