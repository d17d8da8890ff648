import type { Numbered } from './workers/numbered.js';
import type { HistoryLine } from './workers/worker.setup.js';

const KEYS = 20;
/** Milliseconds between two rounds. */
const PAUSE = 40;

/** Numbers by key, in their order. */
export type Sequences = Readonly<Record<string, readonly number[]>>;

/** Sends until it is told to end, one event of each key a round, without waiting for answers in between. */
export class NumberedLoad {
  readonly failures: unknown[] = [];
  private readonly sent = new Map<string, number[]>();
  private readonly calls: Promise<void>[] = [];
  private readonly timer: NodeJS.Timeout;

  constructor(private readonly send: (event: Numbered) => Promise<unknown>) {
    this.timer = setInterval(() => this.round(), PAUSE);
  }

  get count(): number {
    return [...this.sent.values()].reduce((sum, { length }) => sum + length, 0);
  }

  /** What was sent; each has its answer. */
  async end(): Promise<Sequences> {
    clearInterval(this.timer);
    await Promise.all(this.calls);
    return Object.fromEntries(this.sent);
  }

  private round(): void {
    for (let index = 0; index < KEYS; index++) {
      const key = `k${index}`;
      const numbers = this.sent.get(key) ?? [];
      this.sent.set(key, numbers);
      const number = numbers.push(numbers.length) - 1;
      const call = this.send({ key, number }).then(
        () => undefined,
        (error: unknown) => void this.failures.push(error),
      );
      this.calls.push(call);
    }
  }
}

/** What was handled, in whichever process: of each key the numbers in the order of their first time. */
export function firsts(lines: readonly Extract<HistoryLine, { kind: 'handled' }>[]): Sequences {
  const inTime = lines.toSorted((a, b) => (BigInt(a.at) < BigInt(b.at) ? -1 : 1));
  const byKey = new Map<string, Set<number>>();
  for (const { key, number } of inTime) byKey.set(key, (byKey.get(key) ?? new Set()).add(number));
  return Object.fromEntries([...byKey].map(([key, numbers]) => [key, [...numbers]]));
}
