import {
  type DeadLetterSequences,
  type Envelope,
  Event,
  EventListener,
  type EventProvider,
  type ListenerOptions,
  memory,
  MemoryBroker,
  type ProviderFactory,
  RejectEvent,
} from 'nestjs-eventing';
import { VirtualClock } from '../kernel.fixture.js';
import { type AppOptions, TestApp } from '../test.app.fixture.js';

@Event({ name: 'accounts.changed', key: 'account' })
export class Changed {
  account!: string;
  n!: number;
}

/** What a process asks of the broker while it keeps the order of a key. */
export type Step = Exclude<keyof DeadLetterSequences, 'release'> | 'publish';

/** Processes of one service on one broker, with a sequenced listener that rejects number 0 while it is broken. */
export class Accounts {
  readonly clock = new VirtualClock();
  readonly broker = new MemoryBroker({ clock: this.clock });
  readonly seen: { readonly n: number; readonly id: string; readonly headers: Record<string, string> }[] = [];
  broken = true;
  /** Called before and after each step of the first process, until it is told otherwise; what it throws fails the step. */
  interfere: (step: Step, when: 'before' | 'after') => void = () => undefined;

  async start(
    instance: string,
    options: ListenerOptions = { deadLetters: 'sequenced' },
    more: Pick<AppOptions, 'inbox'> = {},
  ): Promise<TestApp> {
    const { seen } = this;
    const broken = (): boolean => this.broken;
    @EventListener(Changed, { name: 'Balances', ...options })
    class Balances implements EventListener<Changed> {
      // A promise, so that the attempt has a deadline.
      async on({ n }: Changed, { id, headers }: Envelope<Changed>): Promise<void> {
        if (n === 0 && broken()) throw new RejectEvent('broken');
        seen.push({ n, id, headers: headers.toJSON() });
      }
    }
    const { clock, broker } = this;
    const provider = instance === 'one' ? this.#interfered() : memory({ broker });
    return TestApp.start({ providers: [Balances] }, { clock, broker, instance, provider, ...more });
  }

  /** A process that sends, and mends, and runs no listener. */
  outside(): Promise<TestApp> {
    const { clock, broker } = this;
    return TestApp.start({}, { clock, broker, instance: 'outside' });
  }

  /** Redrives the first letter there is, if any. */
  async redrive(by: TestApp): Promise<void> {
    const [first] = await by.letters();
    if (first !== undefined) await by.deadLetters.redrive(first, { force: true });
    await this.settle();
  }

  /** In the order in which they were handled first. */
  get handled(): number[] {
    return [...new Set(this.seen.map(({ n }) => n))];
  }

  async send(app: TestApp, ...numbers: readonly number[]): Promise<void> {
    await Promise.all(
      numbers.map((n) => app.events.sendEvent(Changed, { account: 'a', n }, { headers: { n: `${n}` } })),
    );
    await this.settle();
  }

  /** Long enough for every step to be taken again. */
  async settle(): Promise<void> {
    for (let second = 0; second < 8; second++) await this.clock.advance(1000);
  }

  #interfered(): ProviderFactory {
    const { broker } = this;
    const around = async <T>(step: Step, call: () => Promise<T>): Promise<T> => {
      this.interfere(step, 'before');
      const result = await call();
      this.interfere(step, 'after');
      return result;
    };
    return {
      kind: 'memory',
      create(context): EventProvider {
        const provider = memory({ broker }).create(context);
        const { deadLetters } = provider;
        const sequences = deadLetters.sequences as DeadLetterSequences;
        const { publish } = provider;
        const kept: DeadLetterSequences = {
          ...sequences,
          park: (key, letter) => around('park', () => sequences.park(key, letter)),
          isCurrent: (release) => around('isCurrent', () => sequences.isCurrent(release)),
          advance: (key, release) => around('advance', () => sequences.advance(key, release)),
          failed: (letter, release) => around('failed', () => sequences.failed(letter, release)),
        };
        Object.defineProperty(provider, 'deadLetters', { value: { ...deadLetters, sequences: kept } });
        provider.publish = (messages) => around('publish', () => publish.call(provider, messages));
        return provider;
      },
    };
  }
}
