import type { Delivery } from 'nestjs-eventing';
import { message, textOf, type TestProcess } from './rabbit.fixture.js';

/** Sent and not stored yet; then senders wait. More, and all would be sent while the broker is away for the first time. */
const MOST_OPEN = 4_000;

/** Many senders whose calls overlap, each with a key of its own; and what became of it. */
export class Load {
  sent = 0;
  stored = 0;
  /** Deliveries beyond the first of each message. */
  repeated = 0;
  readonly failures: unknown[] = [];
  /** Messages that came after a later one of their key, judged by the first delivery of each. */
  readonly disorder: string[] = [];
  private readonly counts = new Map<string, number>();
  private readonly seen = new Set<string>();
  private readonly last = new Map<string, number>();
  private readonly calls: Promise<void>[] = [];
  private readonly senders: Promise<void>[];
  private running = true;

  constructor(
    private readonly shop: TestProcess,
    private readonly channel: string,
    private readonly most = Infinity,
  ) {
    this.senders = Array.from({ length: 20 }, (_, index) => this.sender(`k${index}`));
  }

  get handled(): number {
    return this.seen.size;
  }

  /** Give it to a subscription, or to several of one name. */
  readonly receive = (delivery: Delivery): void => {
    const text = textOf(delivery);
    const key = delivery.key ?? '';
    const name = `${key}/${text}`;
    if (this.seen.has(name)) this.repeated++;
    else {
      this.seen.add(name);
      const number = Number(text);
      if (number < (this.last.get(key) ?? -1)) this.disorder.push(name);
      else this.last.set(key, number);
    }
    void delivery.settle({ kind: 'accept' });
  };

  async end(): Promise<void> {
    this.running = false;
    await this.ended();
  }

  async ended(): Promise<void> {
    await Promise.all(this.senders);
    await Promise.all(this.calls);
  }

  private async sender(key: string): Promise<void> {
    while (this.running && this.sent < this.most) {
      if (this.sent - this.stored >= MOST_OPEN && this.failures.length === 0) {
        await new Promise((resolve) => setTimeout(resolve, 4));
        continue;
      }
      const next = this.counts.get(key) ?? 0;
      const messages = [next, next + 1, next + 2].map((n) => message(this.channel, { key, text: String(n) }));
      this.counts.set(key, next + 3);
      this.sent += 3;
      this.calls.push(
        this.shop.provider.publish(messages).then((failures) => {
          this.failures.push(...failures);
          this.stored += 3 - failures.length;
        }),
      );
      await new Promise((resolve) => setTimeout(resolve, 4));
    }
  }
}
