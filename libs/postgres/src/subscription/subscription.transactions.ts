import type { OutgoingMessage } from 'nestjs-eventing';
import { partitionOf } from '../log/partition.of.js';
import { isLostConnection, NotConnectedError } from '../postgres.errors.js';
import type { PlacedMessage } from '../publish/event.writer.js';
import type { Member } from './lease.table.js';
import type { SourceTracker } from './source.tracker.js';
import type { SubscriptionParts } from './subscription.parts.js';
import type { SourceWork } from './transaction.loop.js';

/** The transactions of one member of a subscription: finds a place for what it sends, and writes it all down. */
export class SubscriptionTransactions {
  /** Like the member, never used again, so that its numbers begin at 1. */
  private readonly publisher: string;
  private turn = Math.floor(Math.random() * 1_000);

  constructor(
    private readonly parts: SubscriptionParts,
    private readonly member: Member,
  ) {
    this.publisher = `${member.member}:outputs`;
  }

  /** @returns the sources that belong to another by now, of which nothing was stored */
  async store(number: number, works: readonly SourceWork[]): Promise<readonly SourceTracker[]> {
    const { channels, database, transactions } = this.parts;
    await channels.ensure(works.flatMap(({ settled }) => settled.outputs.map(({ channel }) => channel))).catch(unsent);
    const sources = works.map(({ tracker, state, settled, removals }) => ({
      tracker,
      source: tracker.source,
      generation: tracker.generation,
      state,
      settled,
      outputs: settled.outputs.map((message) => this.placed(message)),
      removals,
    }));
    const lost = await transactions.write(database(), { publisher: this.publisher, number }, this.member, sources);
    return lost.map(({ tracker }) => tracker);
  }

  /** As `TransactionStore.burn`. */
  async burn(number: number, works: readonly SourceWork[]): Promise<readonly SourceTracker[] | undefined> {
    const { database, transactions } = this.parts;
    const sources = works.map(({ tracker }) => ({ tracker, source: tracker.source, generation: tracker.generation }));
    const batch = { publisher: this.publisher, number };
    const lost = await transactions.burn(database(), batch, this.member, sources);
    return lost?.map(({ tracker }) => tracker);
  }

  private placed(message: OutgoingMessage): PlacedMessage {
    const partitions = this.parts.channels.partitions(message.channel) ?? 1;
    const partition = message.key === undefined ? ++this.turn % partitions : partitionOf(message.key, partitions);
    return { message, partition };
  }
}

/** Nothing was sent of the transaction itself: a connection that is lost here leaves nothing in doubt. */
function unsent(error: unknown): never {
  throw isLostConnection(error) && !(error instanceof NotConnectedError) ? new NotConnectedError(error) : error;
}
