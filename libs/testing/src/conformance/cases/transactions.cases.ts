import type { Delivery, OutgoingMessage } from 'nestjs-eventing';
import { type ConformanceCase, needs } from '../conformance.case.js';
import { assertExactly } from '../expectations.js';
import { range } from '../sample.event.js';
import type { Trial } from '../trial.js';
import { accepting, letterOf, type PortSubscription, textOf, type TrialPort } from '../trial.port.js';

/** Outputs, letters and positions that go together, whatever dies. */
export const transactionCases: readonly ConformanceCase[] = [
  {
    id: 'transaction-outputs',
    title: 'what is accepted with outputs publishes them, once and in order, after a restart too',
    needs: [needs.transactions],
    async run(trial) {
      const stage = await Stage.open(trial);
      await stage.relay('one', (delivery) => stage.accept(delivery));
      await stage.send(range(100));
      await stage.expect(range(100));
      await stage.stop('one');
      await stage.relay('two', (delivery) => stage.accept(delivery));
      await stage.send(range(20).map((n) => n + 100));
      await stage.expect(range(120));
    },
  },
  {
    id: 'transaction-crash',
    title: 'a process that dies with outputs under way leaves each of them there once, or to be made again',
    needs: [needs.transactions, needs.durable, needs.hook('crash')],
    async run(trial) {
      const stage = await Stage.open(trial);
      let accepted = 0;
      await stage.relay('one', (delivery) => {
        stage.accept(delivery);
        accepted++;
      });
      await stage.send(range(300));
      await trial.until('half are accepted', () => accepted >= 150);
      await stage.crash('one');
      await stage.relay('two', (delivery) => stage.accept(delivery));
      await stage.expect(range(300));
    },
  },
  {
    id: 'transaction-behind-a-gap',
    title: 'what was accepted with outputs behind a message that was not is not published and repeated as well',
    needs: [needs.transactions, needs.durable, needs.hook('crash')],
    async run(trial) {
      const stage = await Stage.open(trial);
      const stuck = new Map<string, Delivery>();
      const one = await stage.relay('one', (delivery) => {
        if (stuck.has(delivery.source)) stage.accept(delivery);
        else stuck.set(delivery.source, delivery);
      });
      await stage.send(range(60));
      await trial.until('all are delivered', () => one.deliveries.length >= 60);
      // Long enough for what is committed without waiting for the gap.
      await trial.quiet();
      await stage.crash('one');
      await stage.relay('two', (delivery) => stage.accept(delivery));
      // Accepted out of order, so that their outputs have none.
      await stage.expect(range(60), false);
    },
  },
  {
    id: 'transaction-dead-letter',
    title: 'a letter is stored and its message gone, or neither, also when the process dies',
    needs: [needs.transactions, needs.durable, needs.hook('crash')],
    async run(trial) {
      const stage = await Stage.open(trial);
      let settled = 0;
      const settle = (delivery: Delivery): void => {
        if (Number(textOf(delivery)) % 3 === 0) stage.reject(delivery);
        else stage.accept(delivery);
        settled++;
      };
      await stage.relay('one', settle);
      await stage.send(range(150));
      await trial.until('half are settled', () => settled >= 75);
      await stage.crash('one');
      await stage.relay('two', settle);
      const dead = range(150).filter((n) => n % 3 === 0);
      await stage.expect(range(150).filter((n) => n % 3 !== 0));
      let letters: string[] = [];
      await trial.until(
        'every letter is stored',
        async () => {
          letters = (await stage.reader.letters()).map(({ message }) => textOf(message));
          return new Set(letters).size >= dead.length;
        },
        () => `${letters.length}`,
      );
      assertExactly(letters, dead.map(String), 'the dead letters');
    },
  },
  {
    id: 'transaction-zombie',
    title: 'what is settled by one who has lost its source is not published',
    needs: [needs.transactions, needs.groups, needs.trait('movesSources')],
    async run(trial) {
      const stage = await Stage.open(trial);
      const one = await stage.relay('one', () => undefined);
      await stage.send(range(80));
      await trial.until('all are delivered', () => one.deliveries.length >= 80);
      const two = await stage.relay('two', (delivery) => stage.accept(delivery));
      await trial.until('sources have moved', () => two.deliveries.length > 0);
      // Of a source that has moved, the old owner's words count for nothing; of the others, they do.
      for (const delivery of one.deliveries) stage.accept(delivery);
      await stage.expect(range(80));
    },
  },
];

/** A channel that is relayed into another one, and who reads that. */
class Stage {
  readonly #ports = new Map<string, TrialPort>();

  private constructor(
    private readonly trial: Trial,
    readonly reader: TrialPort,
    private readonly from: string,
    private readonly to: string,
    private readonly seen: PortSubscription,
  ) {}

  static async open(trial: Trial): Promise<Stage> {
    const [from, to] = [trial.channel(), trial.channel()];
    const reader = await trial.port('reader', [from, to]);
    const seen = await reader.subscribe({ name: 'audit', channels: [to] }, accepting);
    return new Stage(trial, reader, from, to, seen);
  }

  /** A process that relays. */
  async relay(instance: string, settle: (delivery: Delivery) => void): Promise<PortSubscription> {
    const port = await this.trial.port(instance, [this.from, this.to]);
    this.#ports.set(instance, port);
    return port.subscribe({ name: 'relay', channels: [this.from], transactional: true }, settle);
  }

  accept(delivery: Delivery): void {
    const { channel, key, headers, body, time } = delivery;
    const output: OutgoingMessage = {
      id: `output of ${channel} ${delivery.position}`,
      channel: this.to,
      key,
      headers,
      body,
      time,
      durable: this.trial.abilities.durable !== false,
    };
    void delivery.settle({ kind: 'accept', outputs: [output] });
  }

  reject(delivery: Delivery): void {
    const letter = letterOf(delivery, this.trial.service, 'relay', Date.now());
    // Who died rejects; who lives stores it.
    void Promise.resolve(delivery.settle({ kind: 'reject', letter })).catch(() => undefined);
  }

  async send(numbers: readonly number[]): Promise<void> {
    await this.reader.publish(
      numbers.map((n) => ({ channel: this.from, key: `k${n % 7}`, body: Buffer.from(String(n)) })),
    );
  }

  async crash(instance: string): Promise<void> {
    await this.trial.crash({ instance: this.#ports.get(instance)?.context.instance ?? '' });
  }

  async stop(instance: string): Promise<void> {
    const port = this.#ports.get(instance);
    if (port !== undefined) await this.trial.stop(port);
  }

  /** These have arrived, once each, and those of a key in order, where the provider keeps one. */
  async expect(numbers: readonly number[], ordered = this.trial.abilities.order === 'cluster'): Promise<void> {
    const { seen, trial } = this;
    await trial.until(
      'every output arrives',
      () => new Set(seen.texts).size >= numbers.length,
      () => `${new Set(seen.texts).size} of ${numbers.length}`,
    );
    await trial.quiet();
    assertExactly(seen.texts, numbers.map(String), 'the outputs');
    if (!ordered) return;
    const last = new Map<string | undefined, number>();
    for (const delivery of seen.deliveries) {
      const [n, before] = [Number(textOf(delivery)), last.get(delivery.key) ?? -1];
      if (n < before) throw new Error(`The output of ${n} came after that of ${before}, of the same key`);
      last.set(delivery.key, n);
    }
  }
}
