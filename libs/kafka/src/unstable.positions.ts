import type { Clock, ProviderLogger } from 'nestjs-eventing';
import { unstableText } from './kafka.errors.js';

/** While a position is asked for again within that, it is the same trouble. Milliseconds. */
const SPELL = 60_000;

/**
 * Partitions whose position a transaction may still change, for longer than transactions take to end. Each is told of once a spell, however often it
 * is asked for; where another process has it meanwhile, the spell ends here by itself.
 */
export class UnstablePositions {
  /** When each was found so last. */
  private readonly last = new Map<string, number>();

  constructor(
    private readonly group: string,
    private readonly logger: ProviderLogger,
    private readonly clock: Clock,
  ) {}

  found(names: readonly string[]): void {
    const news = names.filter((name) => !this.isKnown(name));
    if (news.length > 0) this.logger.error(unstableText(this.group, news));
    for (const name of names) this.last.set(name, this.clock.now());
  }

  /** They can be read. */
  over(names: readonly string[]): void {
    const freed = names.filter((name) => this.isKnown(name));
    if (freed.length > 0) this.logger.log(`${this.group} goes on in ${freed.join(', ')}.`);
    for (const name of names) this.last.delete(name);
  }

  private isKnown(name: string): boolean {
    return this.clock.now() - (this.last.get(name) ?? -Infinity) < SPELL;
  }
}
