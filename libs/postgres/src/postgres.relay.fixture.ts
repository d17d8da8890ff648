import type { Delivery, OutgoingMessage } from 'nestjs-eventing';
import type { PostgresOptions } from './postgres.options.js';
import { message, type Received, type TestProcess, type TestService, textOf, until } from './postgres.fixture.js';

export const FLAWLESS = { lost: [], twice: [], disordered: [] };

/** Processes that relay one channel into another exactly once, and one that writes down what arrives there. */
export class Relays {
  readonly from: string;
  readonly to: string;
  private sent = 0;
  private sender!: TestProcess;
  private audit!: Received;

  constructor(private readonly service: TestService) {
    this.from = service.channel;
    this.to = `${service.name}.out`;
  }

  async open(): Promise<this> {
    this.sender = await (await this.service.process()).start(this.from, this.to);
    this.audit = await this.sender.subscribe('Audit', this.to);
    return this;
  }

  get arrived(): number {
    return this.audit.deliveries.length;
  }

  async process(
    settle: (delivery: Delivery) => void = (delivery) => this.accept(delivery),
    options: PostgresOptions = {},
  ): Promise<{ readonly process: TestProcess; readonly received: Received }> {
    const process = await (await this.service.process(options)).start(this.from, this.to);
    const received = await process.subscribe('Relay', this.from, settle, { transactional: true });
    return { process, received };
  }

  accept(delivery: Delivery): void {
    void delivery.settle({ kind: 'accept', outputs: [this.output(delivery)] });
  }

  output(delivery: Delivery): OutgoingMessage {
    return message(this.to, { id: `of ${delivery.position}`, key: delivery.key, text: textOf(delivery) });
  }

  /** So many more, each of one of seven keys. */
  async send(count: number): Promise<void> {
    const first = this.sent;
    this.sent += count;
    const failures = await this.sender.provider.publish(
      Array.from({ length: count }, (_, index) =>
        message(this.from, { key: `k${(first + index) % 7}`, text: `${first + index}` }),
      ),
    );
    if (failures[0] !== undefined) throw failures[0].error;
  }

  /** Goes on sending until what it returns is called. */
  stream(): () => Promise<void> {
    let ended = false;
    const sending = (async () => {
      while (!ended) {
        await this.send(20);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    })();
    // Of a test that fails meanwhile: its own error says more.
    sending.catch(() => undefined);
    return () => {
      ended = true;
      return sending;
    };
  }

  /** Of what was sent, when all of it has arrived, or none has for long. */
  async flaws(): Promise<{ lost: number[]; twice: number[]; disordered: number[] }> {
    const all = Array.from({ length: this.sent }, (_, index) => index);
    await until('all arrive', () => new Set(this.audit.texts).size >= this.sent, 120_000).catch(() => undefined);
    // Whether there is more is told by the table, at once.
    const stored = await this.service.query<{ text: string; key: string }>(
      `SELECT convert_from(body, 'UTF8') AS text, key FROM eventing.events WHERE channel = $1 ORDER BY xid, position`,
      [this.to],
    );
    const numbers = stored.map(({ text }) => Number(text));
    const last = new Map<string, number>();
    const disordered = stored.filter(({ text, key }) => {
      const before = last.get(key) ?? -1;
      last.set(key, Number(text));
      return Number(text) < before;
    });
    return {
      lost: all.filter((n) => !numbers.includes(n)),
      twice: numbers.filter((n, index) => numbers.indexOf(n) !== index),
      disordered: disordered.map(({ text }) => Number(text)),
    };
  }
}
