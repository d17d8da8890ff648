import type { Delivery, OutgoingMessage } from 'nestjs-eventing';
import { message, textOf, until } from './kafka.fixture.js';
import type { KafkaOptions } from './kafka.options.js';
import type { Received, TestProcess, TestService } from './kafka.process.fixture.js';

const KEYS = 12;
/** Where the input of an output was read. */
const ORIGIN = 'origin';

/** What a test sends through processes that relay it in transactions, and what comes out at the other end. */
export class Relays {
  readonly out: string;
  private reader!: TestProcess;
  private seen!: Received;
  private readonly processes: TestProcess[] = [];
  private sent = 0;

  constructor(
    private readonly service: TestService,
    private readonly options: Partial<KafkaOptions> = {},
  ) {
    this.out = `${service.channel}.out`;
  }

  /** Reads only what is committed, from outside of any group. */
  async open(): Promise<this> {
    this.reader = await this.service.process({}, { publishTimeout: 60_000 }).start(this.service.channel, this.out);
    this.seen = await this.reader.subscribe('Audit', this.out, undefined, { perProcess: true, from: 'earliest' });
    return this;
  }

  /** One more process. @param settle instead of an accept with one output */
  async process(
    options: Partial<KafkaOptions> = {},
    settle: (delivery: Delivery) => void = (delivery) => this.accept(delivery),
  ): Promise<{ readonly process: TestProcess; readonly received: Received }> {
    const given = { transactions: true, sessionTimeout: 2_000, heartbeatInterval: 200, ...this.options, ...options };
    const process = this.service.process(given);
    this.processes.push(process);
    await process.start(this.service.channel, this.out);
    const received = await process.subscribe('Relay', this.service.channel, settle, { transactional: true });
    return { process, received };
  }

  accept(delivery: Delivery): void {
    void delivery.settle({ kind: 'accept', outputs: [this.output(delivery)] });
  }

  output(delivery: Delivery, changes: Partial<OutgoingMessage> & { readonly text?: string } = {}): OutgoingMessage {
    const { key, position } = delivery;
    return message(this.out, { key, headers: { [ORIGIN]: position }, text: textOf(delivery), ...changes });
  }

  /** So many more, numbered on, over some keys. */
  async send(count: number): Promise<void> {
    const messages = Array.from({ length: count }, () => {
      const n = this.sent++;
      return message(this.service.channel, { key: `k${n % KEYS}`, text: String(n) });
    });
    const failures = await this.reader.provider.publish(messages);
    if (failures[0] !== undefined) throw failures[0].error;
  }

  /** Sends on and on, a few at a time, until it is called. */
  stream(): () => Promise<void> {
    let running = true;
    const streaming = (async (): Promise<void> => {
      const sends: Promise<void>[] = [];
      while (running) {
        sends.push(this.send(10));
        await new Promise((resolve) => setTimeout(resolve, 8));
      }
      await Promise.all(sends);
    })();
    return () => {
      running = false;
      return streaming;
    };
  }

  get arrived(): number {
    return this.seen.deliveries.length;
  }

  get numbers(): number[] {
    return this.seen.texts.map(Number);
  }

  /**
   * Resolves when as many outputs as were sent have come, each once, those of a key in order. Throws with what is wrong, and what the processes
   * said: faults of brokers seldom repeat themselves for whoever would like to look closer.
   */
  async expectFlawless(patience = 60_000): Promise<void> {
    const all = (): boolean => new Set(this.numbers).size >= this.sent;
    await until('every output arrives', all, patience).catch((error: unknown) => {
      throw new Error(this.told([`of ${this.sent} sent, ${new Set(this.numbers).size} came`]), { cause: error });
    });
    // What would come twice is already written, or will be by a process that has not noticed yet.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const { numbers } = this;
    const seen = new Set<number>();
    const twice = numbers.filter((n) => seen.size === seen.add(n).size);
    const last = new Map<number, number>();
    const late = numbers.filter((n) => {
      const before = last.get(n % KEYS) ?? -1;
      last.set(n % KEYS, n);
      return n < before;
    });
    const strange = numbers.filter((n) => !(n < this.sent));
    const flaws = [...this.some('twice', twice), ...this.some('late', late), ...this.some('strange', strange)];
    if (flaws.length === 0) return;
    throw new Error(this.told([`of ${this.sent} sent, ${numbers.length} came`, ...flaws]));
  }

  private told(flaws: readonly string[]): string {
    const lines = this.processes.flatMap(({ context }, index) =>
      context.lines.map((line) => `process ${index}: ${line}`),
    );
    return [...flaws, ...lines].join('\n');
  }

  /** The first few, with where each output is and where its input was: one input relayed twice, two inputs, or one output read twice. */
  private some(flaw: string, numbers: readonly number[]): string[] {
    return numbers.slice(0, 8).map((n) => {
      const places = this.seen.deliveries
        .filter((delivery) => textOf(delivery) === String(n))
        .map(({ position, headers }) => `${position} from ${Buffer.from(headers[ORIGIN] ?? 'nowhere').toString()}`);
      return `${flaw} of ${numbers.length}: ${n} at ${places.join(', ')}`;
    });
  }
}
