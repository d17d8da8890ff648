import type { Database } from '../sql/database.js';

/** What a notification says: there are new events of a channel, something waits for a subscription, or its members changed. */
type Kind = 'log' | 'deferred' | 'members';

export const logWake = (channel: string): string => `log ${channel}`;
export const deferredWake = (subscription: string): string => `deferred ${subscription}`;
export const membersWake = (subscription: string): string => `members ${subscription}`;

/** The name under which the processes of a schema notify each other. */
export function notifiedName(schema: string): string {
  return `${schema}.wake`;
}

/** What a subscription wants to be woken by. */
export interface Sleeper {
  /** As one of the functions above says it. */
  readonly wakes: ReadonlyMap<string, Kind>;
  wake(kind: Kind): void;
}

/** Passes notifications on to those whom they concern. After a lost connection everybody looks: what was notified meanwhile is not known. */
export class WakeUps {
  private readonly sleepers = new Set<Sleeper>();
  private listening: Promise<() => Promise<void>> | undefined;

  constructor(
    private readonly database: () => Database,
    private readonly name: string,
  ) {}

  /** Resolves when it listens. */
  async listen(): Promise<void> {
    this.listening ??= this.database().listen(this.name, (payload) => this.heard(payload));
    try {
      await this.listening;
    } catch (error) {
      this.listening = undefined;
      throw error;
    }
  }

  /** @returns what ends it */
  add(sleeper: Sleeper): () => void {
    this.sleepers.add(sleeper);
    return () => void this.sleepers.delete(sleeper);
  }

  async close(): Promise<void> {
    this.sleepers.clear();
    const end = await this.listening?.catch(() => undefined);
    await end?.().catch(() => undefined);
  }

  private heard(payload: string | undefined): void {
    for (const sleeper of this.sleepers) {
      if (payload === undefined) {
        for (const kind of new Set(sleeper.wakes.values())) sleeper.wake(kind);
        continue;
      }
      const kind = sleeper.wakes.get(payload);
      if (kind !== undefined) sleeper.wake(kind);
    }
  }
}
