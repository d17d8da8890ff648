import type { Delivery } from 'nestjs-eventing';
import { message, textOf } from './kafka.fixture.js';
import type { Received, TestProcess } from './kafka.process.fixture.js';

/** Many senders whose calls overlap, each with a key of its own. */
export class Load {
  sent = 0;
  stored = 0;
  readonly failures: unknown[] = [];
  private readonly counts = new Map<string, number>();
  private readonly calls: Promise<void>[] = [];
  private readonly senders: Promise<void>[];
  private running = true;

  constructor(
    private readonly shop: TestProcess,
    private readonly channel: string,
  ) {
    this.senders = Array.from({ length: 20 }, (_, index) => this.sender(`k${index}`));
  }

  async end(): Promise<void> {
    this.running = false;
    await Promise.all(this.senders);
    await Promise.all(this.calls);
  }

  /** Numbers by key, as they were received and as they were sent. */
  orders(received: Received): { received: unknown; sent: unknown } {
    const byKey = new Map<string, Delivery[]>();
    for (const delivery of received.deliveries) {
      const key = delivery.key ?? '';
      byKey.set(key, [...(byKey.get(key) ?? []), delivery]);
    }
    const numbersOf = (key: string): number[] => (byKey.get(key) ?? []).map((delivery) => Number(textOf(delivery)));
    const keys = [...this.counts.keys()];
    return {
      received: keys.map(numbersOf),
      sent: keys.map((key) => Array.from({ length: this.counts.get(key) ?? 0 }, (_, index) => index)),
    };
  }

  private async sender(key: string): Promise<void> {
    while (this.running) {
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
