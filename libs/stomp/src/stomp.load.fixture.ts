import type { Delivery } from 'nestjs-eventing';
import { message, type TestProcess } from './stomp.fixture.js';

/** Many senders whose calls overlap, each with a key of its own. */
export class Load {
  sent = 0;
  stored = 0;
  readonly failures: unknown[] = [];
  private readonly counts = new Map<string, number>();
  private readonly calls: Promise<void>[] = [];
  private readonly senders: Promise<void>[];
  private running = true;

  /** @param total messages after which it ends by itself */
  constructor(
    private readonly shop: TestProcess,
    private readonly channel: string,
    private readonly total: number,
  ) {
    this.senders = Array.from({ length: 20 }, (_, index) => this.sender(`k${index}`));
  }

  async end(): Promise<void> {
    await Promise.all(this.senders);
    await Promise.all(this.calls);
  }

  /** What each key was handled with, by first occurrences in whichever process, and what it was sent with. */
  orders(deliveries: readonly Delivery[]): { readonly handled: unknown; readonly sent: unknown } {
    const byKey = new Map<string, Set<number>>();
    for (const { key = '', body } of deliveries) {
      const numbers = byKey.get(key) ?? new Set();
      byKey.set(key, numbers.add(Number(Buffer.from(body).toString())));
    }
    const keys = [...this.counts.keys()];
    return {
      handled: keys.map((key) => [...(byKey.get(key) ?? [])]),
      sent: keys.map((key) => Array.from({ length: this.counts.get(key) ?? 0 }, (_, index) => index)),
    };
  }

  private async sender(key: string): Promise<void> {
    while (this.running && this.sent < this.total) {
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
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}
