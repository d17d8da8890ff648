import { beforeEach, describe, expect, it } from 'vitest';
import { Event } from '../declare/event.decorator.js';
import type { ListenerOptions } from '../declare/event-listener.decorator.js';
import type { Envelope } from '../envelope/envelope.js';
import { EventingError, RejectEvent } from '../errors/eventing.error.js';
import { Gate, RecordingLogger, refusal, turn, until, VirtualClock } from '../kernel.fixture.js';
import type { OutgoingMessage } from '../provider/event-provider.js';
import { ce, type ScriptedDelivery, ScriptedProvider } from '../scripted.provider.fixture.js';
import { resolveOptions } from '../runtime/eventing.options.js';
import { EventingRuntime } from '../runtime/eventing.runtime.js';
import type { UnitOfWork } from '../send/unit-of-work.js';
import type { StandardSchemaV1 } from '../wire/standard-schema.js';
import type { Inbox, InboxEntry, InboxOutcome, StagedMessage } from './inbox.js';

/** What orders have to fulfil, in this version of the service. */
let isStrict = false;
const schema: StandardSchemaV1 = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value) => (isStrict ? { issues: [{ message: 'no longer valid' }] } : { value }),
  },
};

@Event({ name: 'orders', key: 'id', schema })
class Order {
  id?: string;
}
@Event({ name: 'bills', key: 'id' })
class Bill {
  id!: string;
}
@Event({ name: 'mails', provider: 'post' })
class Mail {
  to!: string;
}

/** An inbox that is a map. */
class MapInbox implements Inbox {
  readonly known = new Map<string, { readonly digest: string; readonly outputs: readonly StagedMessage[] }>();
  readonly journal: string[] = [];
  away = false;

  async start(): Promise<void> {
    this.journal.push('start');
  }
  async stop(): Promise<void> {
    this.journal.push('stop');
  }
  async once(entry: InboxEntry, work: (unitOfWork: UnitOfWork) => Promise<void>): Promise<InboxOutcome> {
    if (this.away) throw new Error('the store is away');
    const key = `${entry.listener} ${entry.source} ${entry.id}`;
    const digest = Buffer.from(entry.digest).toString('hex');
    const known = this.known.get(key);
    if (known !== undefined) {
      if (known.digest !== digest) throw new EventingError('EVT_INBOX_CONFLICT', `${key} is known with another body`);
      return { duplicate: true, outputs: known.outputs };
    }
    const outputs: StagedMessage[] = [];
    await work({ stage: async (provider, message) => void outputs.push({ provider, message }) });
    this.known.set(key, { digest, outputs });
    this.journal.push(`commit ${key}`);
    return { duplicate: false, outputs };
  }
}

type On = (world: World, envelope: Envelope) => unknown;

class World {
  readonly clock = new VirtualClock(0);
  readonly logger = new RecordingLogger();
  readonly post = new ScriptedProvider();
  readonly runtime: EventingRuntime;
  calls = 0;
  on: On = () => undefined;

  constructor(
    readonly provider: ScriptedProvider,
    inbox?: Inbox,
    listener: ListenerOptions = {},
  ) {
    const { clock, logger } = this;
    const given = {
      service: 'shop',
      clock,
      logger,
      provider: provider.factory,
      providers: { post: this.post.factory },
      ...(inbox === undefined ? {} : { inbox }),
    };
    this.runtime = new EventingRuntime(resolveOptions(given, logger), (registry) => ({
      pipelines: [],
      problems: [],
      listeners: [
        {
          label: 'Handler',
          events: [registry.describe(Order)],
          options: { guarantee: 'exactly-once', ...listener },
          invoke: (_event, envelope) => {
            this.calls++;
            return this.on(this, envelope);
          },
        },
      ],
    }));
  }

  static async start(on: On, provider: Partial<ScriptedProvider['abilities']>, inbox?: Inbox): Promise<World> {
    const world = new World(new ScriptedProvider(provider), inbox);
    world.on = on;
    await world.runtime.start();
    return world;
  }

  bill(id: string): Promise<Envelope> {
    return this.runtime.events.sendEvent(Bill, { id });
  }

  deliver(text = '{}', headers?: ScriptedDelivery['headers']): ScriptedDelivery {
    return this.provider.deliver({ key: 'k', body: Buffer.from(text), ...(headers && { headers }) });
  }
}

/** The ids of what went with the accept; undefined where nothing was accepted. */
function outputsOf({ settlements }: ScriptedDelivery): readonly OutgoingMessage[] | undefined {
  const accept = settlements.find((settlement) => settlement.kind === 'accept');
  return accept === undefined ? undefined : (accept.outputs ?? []);
}

const channels = (messages: readonly OutgoingMessage[] | undefined): string[] =>
  (messages ?? []).map(({ channel }) => channel);

describe('an exactly-once listener on a provider with transactions', () => {
  const able = { transactions: true };

  it('is subscribed as transactional, others are not', async () => {
    const world = await World.start(() => undefined, able);
    expect(world.provider.subscribed[0]?.subscription).toMatchObject({ transactional: true });
    expect(world.logger.having('exactly-once by transactions')).toHaveLength(1);
    const other = new World(new ScriptedProvider(able), undefined, { guarantee: 'at-least-once' });
    await other.runtime.start();
    expect(other.provider.subscribed[0]?.subscription).toMatchObject({ transactional: false });
  });

  it('has what it sends go with the accept, in call order, and nothing before', async () => {
    const gate = new Gate();
    const world = await World.start(async (here) => {
      await here.bill('1');
      await here.bill('2');
      await gate.promise;
    }, able);
    const delivery = world.deliver();
    await turn();
    expect(delivery.settlements).toEqual([]);
    gate.open();
    await until(() => delivery.settlements.length > 0);
    expect(outputsOf(delivery)?.map(({ key }) => key)).toEqual(['1', '2']);
    expect(world.provider.messages).toEqual([]);
  });

  it('also has what it did not wait for, if it was sent before it returned', async () => {
    const world = await World.start((here) => void here.bill('1'), able);
    const delivery = world.deliver();
    await until(() => delivery.settlements.length > 0);
    expect(channels(outputsOf(delivery))).toEqual(['bills']);
  });

  it('accepts plainly where nothing was sent', async () => {
    const world = await World.start(() => undefined, able);
    const delivery = world.deliver();
    await until(() => delivery.settlements.length > 0);
    expect(delivery.settlements).toEqual([{ kind: 'accept' }]);
  });

  it('has the outputs of a failed attempt forgotten, and the same ids at the next', async () => {
    const ids: string[] = [];
    const world = await World.start(async (here, { attempt }) => {
      ids.push((await here.bill('1')).id);
      if (attempt === 1) throw new Error('no');
    }, able);
    const delivery = world.deliver();
    await until(() => world.calls === 1);
    await turn();
    await world.clock.advance(1000);
    await until(() => delivery.settlements.length > 0);
    expect(outputsOf(delivery)?.map(({ id }) => id)).toEqual([ids[0]]);
    expect(ids).toEqual([ids[0], ids[0]]);
    expect(ids[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  it('sends under other ids for another event, and under one that it names itself', async () => {
    const world = await World.start(async (here) => {
      await here.bill('1');
      await here.runtime.events.sendEvent(Bill, { id: '2' }, { id: 'mine' });
      await here.bill('3');
    }, able);
    const deliveries = [world.deliver(), world.deliver()];
    await until(() => deliveries.every(({ settlements }) => settlements.length > 0));
    const ids = deliveries.flatMap((delivery) => outputsOf(delivery) ?? []).map(({ id }) => id);
    expect(ids.filter((id) => id === 'mine')).toHaveLength(2);
    expect(new Set(ids).size).toBe(5);
  });

  it('dead-letters without outputs', async () => {
    const world = await World.start(async (here) => {
      await here.bill('1');
      throw new RejectEvent('never');
    }, able);
    const delivery = world.deliver();
    await until(() => delivery.settlements.length > 0);
    expect(delivery.kinds).toEqual(['reject']);
    expect(delivery.letter).toMatchObject({ reason: 'rejected' });
  });

  it('cannot send to another provider', async () => {
    let refused: EventingError | undefined;
    const world = await World.start(async (here) => {
      refused = await refusal(here.runtime.events.sendEvent(Mail, { to: 'x' }));
    }, able);
    world.deliver();
    await until(() => refused !== undefined);
    expect(refused).toMatchObject({ code: 'EVT_OUTPUT_PROVIDER' });
    expect(refused?.message).toContain('shop.Handler handles exactly once in a transaction of "default"');
    expect(world.post.messages).toEqual([]);
  });

  it('cannot send after it has returned', async () => {
    const gate = new Gate();
    let late: Promise<EventingError> | undefined;
    const world = await World.start((here) => {
      late = refusal(gate.promise.then(() => here.bill('1')));
    }, able);
    const delivery = world.deliver();
    await until(() => delivery.settlements.length > 0);
    gate.open();
    expect(await late).toMatchObject({ code: 'EVT_OUTPUT_LATE' });
    expect(outputsOf(delivery)).toEqual([]);
  });

  it('keeps its lane until its outputs have their place, and tries again while they have none', async () => {
    const world = await World.start((here) => here.bill('1'), able);
    const delivery = world.provider.deliver({ key: 'k', body: Buffer.from('{}') });
    let full = true;
    delivery.onSettle = () => (full ? Promise.reject(new Error('full')) : undefined);
    const next = world.deliver();
    await until(() => delivery.settlements.length === 1);
    await turn();
    expect(world.calls).toBe(1);
    full = false;
    await world.clock.advance(1000);
    await until(() => next.settlements.length > 0);
    expect(delivery.kinds).toEqual(['accept', 'accept']);
  });

  it('publishes nothing of a source that was lost while it was at work', async () => {
    const gate = new Gate();
    const world = await World.start(async (here) => {
      await here.bill('1');
      await gate.promise;
    }, able);
    const delivery = world.deliver();
    await turn();
    const revoked = world.provider.subscriber.revoked([delivery.source]);
    await world.clock.advance(10_000);
    await revoked;
    gate.open();
    await turn();
    expect(delivery.settlements).toEqual([]);
  });
});

describe('an exactly-once listener with an inbox', () => {
  let inbox: MapInbox;
  beforeEach(() => {
    inbox = new MapInbox();
    isStrict = false;
  });

  it('runs inside it, and is accepted when its outputs are published', async () => {
    const world = await World.start(
      async (here) => {
        await here.bill('1');
        await here.runtime.events.sendEvent(Mail, { to: 'x' });
        expect(inbox.known.size).toBe(0);
      },
      {},
      inbox,
    );
    expect(world.logger.having('exactly-once by inbox')).toHaveLength(1);
    expect(world.provider.subscribed[0]?.subscription).toMatchObject({ transactional: false });
    const delivery = world.deliver();
    await until(() => delivery.settlements.length > 0);
    expect(delivery.settlements).toEqual([{ kind: 'accept' }]);
    expect(channels(world.provider.messages)).toEqual(['bills']);
    expect(channels(world.post.messages)).toEqual(['mails']);
    expect(inbox.journal).toEqual(['start', 'commit shop.Handler /foreign e0']);
    await world.runtime.stop();
    expect(inbox.journal.at(-1)).toBe('stop');
  });

  it('does not see a duplicate, whose outputs are published again under the same ids', async () => {
    const world = await World.start((here) => here.bill('1'), {}, inbox);
    const headers = { ...world.deliver().headers };
    await until(() => world.provider.messages.length === 1);
    const again = world.provider.deliver({ key: 'k', headers });
    await until(() => again.settlements.length > 0);
    expect(world.calls).toBe(1);
    const [first, second] = world.provider.messages;
    expect(second).toEqual(first);
    expect(again.kinds).toEqual(['accept']);
  });

  it('has its outputs published also where it has expired by the time that it comes back', async () => {
    const world = await World.start((here) => here.bill('1'), {}, inbox);
    let away = true;
    world.provider.onPublish = (messages) =>
      Promise.resolve(
        away ? messages.map((_, index) => ({ index, error: new Error('away'), indeterminate: false })) : [],
      );
    const first = world.deliver('{}', ce('orders', { ce_id: 'e0', ce_expirytime: new Date(5_000).toISOString() }));
    await until(() => inbox.known.size === 1);
    const revoked = world.provider.subscriber.revoked([first.source]);
    await world.clock.advance(10_000);
    await revoked;
    away = false;
    const before = world.provider.messages.length;
    const again = world.provider.deliver({ key: 'k', headers: first.headers, source: 'elsewhere' });
    await until(() => again.settlements.length > 0);
    expect(again.kinds).toEqual(['accept']);
    expect(channels(world.provider.messages.slice(before))).toEqual(['bills']);
    expect([world.calls, first.settlements]).toEqual([1, []]);
  });

  it.each([
    ['was delivered too often, as after crashes', { attempt: 99 }],
    ['would not be valid any more', {}],
  ])('has its outputs published also where it %s', async (_why, parts) => {
    const world = await World.start((here) => here.bill('1'), {}, inbox);
    const { headers } = world.deliver();
    await until(() => world.provider.messages.length === 1);
    isStrict = true;
    const again = world.provider.deliver({ key: 'k', headers, ...parts });
    await until(() => again.settlements.length > 0);
    expect([again.kinds, world.calls]).toEqual([['accept'], 1]);
    expect(world.provider.messages[1]).toEqual(world.provider.messages[0]);
    // And what is not known is given up as ever.
    const fresh = world.provider.deliver({ key: 'k', ...parts });
    await until(() => fresh.settlements.length > 0);
    expect(fresh.letter).toMatchObject({ reason: 'attempt' in parts ? 'crashed' : 'invalid' });
    expect([world.calls, inbox.known.size]).toEqual([1, 1]);
  });

  it('is too late for what has expired and is not known there, which leaves no trace in it', async () => {
    const world = await World.start(() => undefined, {}, inbox);
    await world.clock.advance(10_000);
    inbox.away = true;
    const late = world.deliver('{}', ce('orders', { ce_id: 'e0', ce_expirytime: new Date(5_000).toISOString() }));
    await turn();
    // Whether it was handled in time cannot be told.
    expect(late.settlements).toEqual([]);
    inbox.away = false;
    await world.clock.advance(1_000);
    await until(() => late.settlements.length > 0);
    expect(late.letter).toMatchObject({ reason: 'expired', error: { code: 'EVT_EXPIRED' } });
    expect([world.calls, inbox.known.size]).toEqual([0, 0]);
  });

  it('has one id with two bodies become a dead letter, at once', async () => {
    const world = await World.start(() => undefined, {}, inbox);
    const { headers } = world.deliver();
    await until(() => inbox.known.size === 1);
    const forged = world.provider.deliver({ key: 'k', headers, body: Buffer.from('{"id":"2"}') });
    await until(() => forged.settlements.length > 0);
    expect(forged.letter).toMatchObject({ reason: 'rejected', error: { code: 'EVT_INBOX_CONFLICT' }, attempts: 1 });
    expect(world.calls).toBe(1);
  });

  it('is tried again where it failed, or the store is away; nothing is on record then', async () => {
    const world = await World.start(
      (_here, { attempt }) => {
        if (attempt === 1) throw new Error('no');
      },
      {},
      inbox,
    );
    const delivery = world.deliver();
    await until(() => world.calls === 1);
    await turn();
    expect(inbox.known.size).toBe(0);
    inbox.away = true;
    await world.clock.advance(300);
    await turn();
    inbox.away = false;
    await world.clock.advance(1000);
    await until(() => delivery.settlements.length > 0);
    expect(delivery.kinds).toEqual(['accept']);
    expect(world.calls).toBe(2);
  });

  it('is not called again while its outputs cannot be published: they are tried until they are', async () => {
    const world = await World.start((here) => here.bill('1'), {}, inbox);
    let away = true;
    world.provider.onPublish = (messages) =>
      Promise.resolve(
        away ? messages.map((_, index) => ({ index, error: new Error('away'), indeterminate: false })) : [],
      );
    const delivery = world.deliver();
    await until(() => inbox.known.size === 1);
    // Longer than any time-out of the listener.
    for (let step = 0; step < 200; step++) await world.clock.advance(1000);
    expect(delivery.settlements).toEqual([]);
    away = false;
    await world.clock.advance(1000);
    await until(() => delivery.settlements.length > 0);
    expect(world.calls).toBe(1);
    expect(delivery.kinds).toEqual(['accept']);
  });

  it('has its outputs go with the accept where the provider has transactions too', async () => {
    const world = await World.start(
      async (here) => {
        await here.bill('1');
        await here.runtime.events.sendEvent(Mail, { to: 'x' });
      },
      { transactions: true },
      inbox,
    );
    expect(world.logger.having('exactly-once by transactions and inbox')).toHaveLength(1);
    const delivery = world.deliver();
    await until(() => delivery.settlements.length > 0);
    expect(channels(outputsOf(delivery))).toEqual(['bills']);
    expect(channels(world.post.messages)).toEqual(['mails']);
    expect(world.provider.messages).toEqual([]);
  });

  it('leaves no trace of an attempt that timed out and ended later', async () => {
    const gate = new Gate();
    const world = new World(new ScriptedProvider(), inbox, {
      timeout: 1000,
      timeoutGrace: 1000,
      retry: { attempts: 1 },
    });
    world.on = () => gate.promise;
    await world.runtime.start();
    const delivery = world.deliver();
    for (let step = 0; step < 30; step++) await world.clock.advance(100);
    await until(() => delivery.settlements.length > 0);
    expect(delivery.letter.error.code).toBe('EVT_LISTENER_TIMEOUT');
    gate.open();
    await turn();
    expect(inbox.known.size).toBe(0);
  });
});
