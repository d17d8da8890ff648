import {
  BatchError,
  type BatchEventListener,
  Decide,
  type Envelope,
  Event,
  EventExceptionHandler,
  EventingError,
  EventListener,
  EventListeners,
  EventManager,
  type Inbox,
  type InboxBatchOutcome,
  type InboxEntry,
  type InboxOutcome,
  type ListenerOptions,
  type SendOptions,
  type StagedMessage,
  type UnitOfWork,
} from 'nestjs-eventing';
import { describe, expect, it } from 'vitest';
import { Gate, refusal } from '../kernel.fixture.js';
import { ScriptedProvider } from '../scripted.provider.fixture.js';
import { type AppOptions, TestApp } from '../test.app.fixture.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'id' })
class OrderPlaced {
  id!: string;
  number!: number;
}
@Event({ name: 'orders.billed', channel: 'bills', key: 'id' })
class OrderBilled {
  id!: string;
}

/** An inbox that is a map, and whose listeners write numbers; what is undone is gone. */
class MapInbox implements Inbox {
  readonly known = new Map<string, { readonly digest: string; readonly outputs: readonly StagedMessage[] }>();
  readonly seen: InboxEntry[] = [];
  /** What committed together. */
  readonly commits: number[][] = [];
  #effects: number[] = [];

  /** Asked whether an event is known, of one that has expired: nothing new is handled like that. */
  async once(entry: InboxEntry, work: (unitOfWork: UnitOfWork) => Promise<void>): Promise<InboxOutcome> {
    const found = this.known.get(entry.id);
    if (found !== undefined) return { duplicate: true, outputs: found.outputs };
    await work({ stage: () => Promise.resolve() });
    throw new Error('A batch listener handles no single events.');
  }

  write(number: number): void {
    this.#effects.push(number);
  }

  async onceAll(
    entries: readonly InboxEntry[],
    work: (fresh: readonly number[], unitOfWork: UnitOfWork) => Promise<void>,
  ): Promise<InboxBatchOutcome> {
    const known = new Map<number, readonly StagedMessage[] | EventingError>();
    const fresh = new Map<string, number>();
    for (const [index, entry] of entries.entries()) {
      this.seen.push(entry);
      const found = this.known.get(entry.id);
      if (found !== undefined)
        known.set(
          index,
          found.digest === hex(entry) ? found.outputs : new EventingError('EVT_INBOX_CONFLICT', entry.id),
        );
      else if (fresh.has(entry.id)) known.set(index, []);
      else fresh.set(entry.id, index);
    }
    const outputs: StagedMessage[] = [];
    this.#effects = [];
    if (fresh.size > 0) await work([...fresh.values()], { stage: async (provider, message) => void outputs.push({ provider, message }) }); // prettier-ignore
    for (const [at, index] of [...fresh.values()].entries()) {
      const entry = entries[index] as InboxEntry;
      this.known.set(entry.id, { digest: hex(entry), outputs: at === 0 ? outputs : [] });
    }
    if (fresh.size > 0) this.commits.push(this.#effects);
    return { known, outputs };
  }
}

const hex = ({ digest }: InboxEntry): string => Buffer.from(digest).toString('hex');

type OnBatch = (
  events: readonly OrderPlaced[],
  world: { readonly inbox: MapInbox; readonly events: EventManager; readonly envelopes: readonly Envelope[] },
) => unknown;

async function batching(
  onBatch: OnBatch,
  options: ListenerOptions = {},
  given: AppOptions & { providers?: never; more?: readonly (new (...args: never[]) => object)[] } = {},
) {
  const { more = [], ...appOptions } = given;
  const inbox = new MapInbox();
  const batches: number[][] = [];
  const billed: Envelope[] = [];
  @EventListener(OrderPlaced, {
    ...{ batch: { size: 4, wait: 100 }, guarantee: 'exactly-once', retry: { attempts: 2, delay: 1000 } },
    ...options,
  })
  class Bulk implements BatchEventListener<OrderPlaced> {
    constructor(private readonly events: EventManager) {}
    async onBatch(orders: readonly OrderPlaced[], envelopes: readonly Envelope<OrderPlaced>[]): Promise<void> {
      batches.push(orders.map(({ number }) => number));
      for (const { number } of orders) inbox.write(number);
      await onBatch(orders, { inbox, events: this.events, envelopes });
    }
  }
  @EventListener(OrderBilled)
  class Watch implements EventListener<OrderBilled> {
    on(_: OrderBilled, envelope: Envelope<OrderBilled>): void {
      billed.push(envelope);
    }
  }
  const app = await TestApp.start({ providers: [Bulk, Watch, ...more] }, { inbox, ...appOptions });
  const place = (number: number, id = `e${number}`, more: SendOptions = {}): Promise<Envelope> =>
    app.events.sendEvent(OrderPlaced, { id: `k${number}`, number }, { id, ...more });
  const settled = async (): Promise<void> => {
    for (let step = 0; step < 20; step++) await app.clock.advance(200);
    await app.idle();
  };
  return { app, inbox, batches, billed, place, settled };
}

const bill: OnBatch = async (orders, { events }) => {
  for (const { id } of orders) await events.sendEvent(OrderBilled, { id });
};

describe('a batch listener that handles exactly once', () => {
  it('has what a batch does, and the record of all its events, committed together', async () => {
    const { app, inbox, batches, billed, place, settled } = await batching(bill);
    for (const number of [1, 2, 3, 4]) await place(number);
    await settled();
    expect([batches, inbox.commits]).toEqual([[[1, 2, 3, 4]], [[1, 2, 3, 4]]]);
    expect(inbox.seen[0]).toMatchObject({
      ...{ listener: 'shop.Bulk', source: '/shop', id: 'e1' },
      about: { service: 'shop', event: 'orders.placed', version: 1, channel: 'orders', key: 'k1', attempt: 1 },
    });
    expect(billed.map(({ key }) => key).sort()).toEqual(['k1', 'k2', 'k3', 'k4']);
    expect(new Set(billed.map(({ id }) => id)).size).toBe(4);
    expect(app.broker.queues().every(({ waiting, unsettled }) => waiting + unsettled === 0)).toBe(true);
    expect(app.logger.having('exactly-once by transactions and inbox')).toHaveLength(1);
  });

  it('does not see what it has handled before; what was sent then is sent again, under its ids', async () => {
    const { inbox, batches, billed, place, settled } = await batching(bill);
    for (const number of [1, 2]) await place(number);
    await settled();
    for (const number of [1, 2, 3]) await place(number);
    await settled();
    expect([batches, inbox.commits]).toEqual([
      [[1, 2], [3]],
      [[1, 2], [3]],
    ]);
    const ids = (key: string): Set<string> => new Set(billed.filter((each) => each.key === key).map(({ id }) => id));
    expect([billed.length, ids('k1').size, ids('k2').size]).toEqual([5, 1, 1]);
    for (const number of [1, 2, 3]) await place(number);
    await settled();
    expect(batches).toHaveLength(2);
  });

  it('has what was sent then sent again also where the event has expired since; what is not known is too late', async () => {
    const { app, batches, billed, place, settled } = await batching(bill);
    await place(1);
    await settled();
    app.module.get(EventListeners).pause('Bulk');
    for (const number of [1, 2]) await place(number, `e${number}`, { expiresIn: 1_000 });
    await app.clock.advance(2_000);
    app.module.get(EventListeners).resume('Bulk');
    await settled();
    expect(batches).toEqual([[1]]);
    expect(billed.map(({ id }) => id)).toEqual([billed[0]?.id, billed[0]?.id]);
    const letters = await app.letters();
    expect(letters).toMatchObject([{ reason: 'expired', event: { id: 'e2' } }]);
  });

  it('sees an event once that is in a batch twice', async () => {
    const { app, batches, place, settled } = await batching(() => undefined);
    for (const number of [1, 1, 2]) await place(number);
    await settled();
    expect(batches).toEqual([[1, 2]]);
    expect(app.broker.queues().every(({ waiting, unsettled }) => waiting + unsettled === 0)).toBe(true);
  });

  it('leaves nothing of a batch that failed, and handles its events alone', async () => {
    const { app, inbox, batches, billed, place, settled } = await batching(async (orders, world) => {
      await bill(orders, world);
      if (orders.some(({ number }) => number === 2)) throw new Error('no 2');
    });
    for (const number of [1, 2, 3]) await place(number);
    await settled();
    expect(batches[0]).toEqual([1, 2, 3]);
    expect(inbox.commits).toEqual([[1], [3]]);
    expect(billed.map(({ key }) => key).sort()).toEqual(['k1', 'k3']);
    expect(await app.letter()).toMatchObject({ reason: 'failed', message: { key: 'k2' }, error: { message: 'no 2' } });
  });

  it('undoes the whole batch too where the listener names what failed', async () => {
    const { app, inbox, place, settled } = await batching((orders) => {
      const index = orders.findIndex(({ number }) => number === 2);
      if (index >= 0) throw new BatchError([{ index, error: new Error('no 2') }]);
    });
    for (const number of [1, 2, 3]) await place(number);
    await settled();
    expect(inbox.commits).toEqual([[1], [3]]);
    expect(await app.letter()).toMatchObject({ message: { key: 'k2' }, error: { message: 'no 2' } });
  });

  it('has one id with two bodies become a dead letter, and holds up none of the others', async () => {
    const { app, inbox, batches, place, settled } = await batching(() => undefined);
    await place(1);
    await settled();
    await place(7, 'e1');
    await place(8);
    await settled();
    expect([batches, inbox.commits]).toEqual([[[1], [8]], [[1], [8]]]); // prettier-ignore
    expect(await app.letter()).toMatchObject({ reason: 'rejected', error: { code: 'EVT_INBOX_CONFLICT' } });
  });

  it('accepts none of a batch before its outputs are published, and publishes them once', async () => {
    const provider = new ScriptedProvider();
    const { app, settled } = await batching(bill, {}, { provider: provider.factory });
    provider.onPublish = async (messages) =>
      messages.map((_, index) => ({
        ...{ index, indeterminate: false },
        error: new EventingError('EVT_PUBLISH_FAILED', 'away'),
      }));
    const deliveries = ['1', '2'].map((number) =>
      provider.deliver({
        key: `k${number}`,
        headers: { ce_specversion: '1.0', ce_id: `e${number}`, ce_source: '/web', ce_type: 'orders.placed' },
        body: Buffer.from(JSON.stringify({ id: `k${number}`, number: Number(number) })),
      }),
    );
    await settled();
    expect(deliveries.flatMap(({ settlements }) => settlements)).toEqual([]);
    expect(app.logger.having('could not be published by "default", and are tried again').length).toBeGreaterThan(1);
    provider.onPublish = async () => [];
    const before = provider.messages.length;
    await settled();
    expect(deliveries.map(({ settlements }) => settlements)).toEqual([[{ kind: 'accept' }], [{ kind: 'accept' }]]);
    expect(provider.messages.slice(before).map(({ key }) => key)).toEqual(['k1', 'k2']);
  });

  it('has its outputs go with an accept, where the provider has transactions', async () => {
    const provider = new ScriptedProvider({ transactions: true });
    const { settled } = await batching(bill, {}, { provider: provider.factory });
    const deliveries = ['1', '2'].map((number) =>
      provider.deliver({
        key: `k${number}`,
        headers: { ce_specversion: '1.0', ce_id: `e${number}`, ce_source: '/web', ce_type: 'orders.placed' },
        body: Buffer.from(JSON.stringify({ id: `k${number}`, number: Number(number) })),
      }),
    );
    await settled();
    const outputs = deliveries.map(({ settlements }) => settlements.flatMap((each) => (each.kind === 'accept' ? (each.outputs ?? []).map(({ key }) => key) : ['?']))); // prettier-ignore
    expect([outputs, provider.messages]).toEqual([[['k1', 'k2'], []], []]); // prettier-ignore
  });

  it('undoes what an exception handler forgives, of an event alone, and keeps what that sent', async () => {
    class Forgiven extends Error {}
    @EventExceptionHandler(Forgiven)
    class Forgive {
      constructor(private readonly events: EventManager) {}
      async handle(): Promise<unknown> {
        await this.events.sendEvent(OrderBilled, { id: 'instead' });
        return Decide.accept();
      }
    }
    const { app, inbox, billed, place, settled } = await batching(
      async (orders, world) => {
        await bill(orders, world);
        if (orders.some(({ number }) => number === 2)) throw new Forgiven('never mind');
      },
      {},
      { more: [Forgive] },
    );
    for (const number of [1, 2]) await place(number);
    await settled();
    expect(inbox.commits).toEqual([[1]]);
    expect(billed.map(({ key }) => key).sort()).toEqual(['instead', 'k1']);
    // Also where the other one of its batch is known: that is no part of what is forgiven.
    for (const number of [1, 2]) await place(number);
    await settled();
    expect(inbox.commits).toEqual([[1]]);
    expect(billed.map(({ key }) => key).sort()).toEqual(['instead', 'instead', 'k1', 'k1']);
    expect(await app.letters()).toEqual([]);
  });

  it('undoes an attempt that comes back after it was given up', async () => {
    const gate = new Gate();
    let calls = 0;
    const options = { timeout: 1000, timeoutGrace: 500, batch: { size: 2, wait: 100 } };
    const { inbox, batches, place, settled } = await batching(
      () => (++calls === 1 ? gate.promise : undefined),
      options,
    );
    for (const number of [1, 2]) await place(number);
    await settled();
    gate.open();
    await settled();
    expect(batches[0]).toEqual([1, 2]);
    expect(inbox.commits.flat().sort()).toEqual([1, 2]);
  });
});

describe('the start is refused for a batch listener that asks for exactly-once', () => {
  class Bulk implements BatchEventListener<OrderPlaced> {
    onBatch(): void {
      return;
    }
  }
  EventListener(OrderPlaced, { batch: {}, guarantee: 'exactly-once' })(Bulk);

  it.each<[string, AppOptions, string]>([
    ['without an inbox', {}, 'only an inbox can give that'],
    [
      'with transactions of the provider alone',
      { provider: new ScriptedProvider({ transactions: true }).factory },
      'only an inbox can give that',
    ],
    [
      'with an inbox that takes no batches',
      { inbox: { once: () => Promise.reject(new Error('not called')) } },
      'its inbox takes no batches',
    ],
  ])('%s', async (_what, options, text) => {
    const app = await TestApp.create({ providers: [Bulk] }, options);
    expect(await refusal(app.module.init())).toMatchObject({
      code: 'EVT_UNSUPPORTED',
      message: expect.stringContaining(text),
    });
  });
});
