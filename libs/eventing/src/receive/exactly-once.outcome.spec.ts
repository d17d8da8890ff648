import { expect, describe, it } from 'vitest';
import { Event } from '../declare/event.decorator.js';
import { Decide } from '../declare/event-exception-handler.decorator.js';
import type { Envelope } from '../envelope/envelope.js';
import type { EventingError } from '../errors/eventing.error.js';
import { Gate, RecordingLogger, refusal, turn, until, VirtualClock } from '../kernel.fixture.js';
import type { Abilities } from '../provider/abilities.js';
import type { PublishFailure } from '../provider/event-provider.js';
import { resolveOptions } from '../runtime/eventing.options.js';
import { EventingRuntime } from '../runtime/eventing.runtime.js';
import { ScriptedProvider } from '../scripted.provider.fixture.js';
import type { UnitOfWork } from '../send/unit-of-work.js';
import type { Inbox, InboxEntry, InboxOutcome, StagedMessage } from './inbox.js';

@Event({ name: 'orders', key: 'id' })
class Order {
  id?: string;
}
@Event({ name: 'bills', key: 'id' })
class Bill {
  id!: string;
}

/** An inbox without a memory: it commits, or it does not. */
class OpenInbox implements Inbox {
  committed = 0;

  async once(_entry: InboxEntry, work: (unitOfWork: UnitOfWork) => Promise<void>): Promise<InboxOutcome> {
    const outputs: StagedMessage[] = [];
    await work({ stage: async (provider, message) => void outputs.push({ provider, message }) });
    this.committed++;
    return { duplicate: false, outputs };
  }
}

interface Script {
  readonly abilities?: Partial<Abilities>;
  readonly inbox?: Inbox;
  readonly on: (bill: (id: string) => Promise<Envelope>, envelope: Envelope) => unknown;
  /** An exception handler that forgives everything. */
  readonly forgive?: (bill: (id: string) => Promise<Envelope>) => unknown;
  /** A pipeline around what is sent. */
  readonly sending?: (envelope: Envelope) => Promise<void>;
}

/** A service with one exactly-once listener of orders that sends bills; of two events at one time. */
async function start(
  script: Script,
): Promise<{ provider: ScriptedProvider; clock: VirtualClock; log: RecordingLogger }> {
  const [clock, log, provider] = [new VirtualClock(0), new RecordingLogger(), new ScriptedProvider(script.abilities)];
  const { on, forgive, sending, inbox } = script;
  const options = { service: 'shop', clock, logger: log, provider: provider.factory, ...(inbox && { inbox }) };
  const bill = (id: string): Promise<Envelope> => runtime.events.sendEvent(Bill, { id });
  const handler = {
    handle: async () => {
      await forgive?.(bill);
      return Decide.accept();
    },
  };
  const pipeline = {
    async send(envelope: Envelope, _event: unknown, next: () => Promise<void>): Promise<void> {
      await sending?.(envelope);
      await next();
    },
  };
  const runtime = new EventingRuntime(resolveOptions(options, log), (registry) => ({
    pipelines: sending === undefined ? [] : [{ label: 'Slow', pipeline }],
    exceptionHandlers: forgive === undefined ? [] : [{ label: 'Forgiving', errors: [Error], handler }],
    problems: [],
    listeners: [
      {
        label: 'Handler',
        events: [registry.describe(Order)],
        options: { guarantee: 'exactly-once', concurrency: 2, timeout: 1000, timeoutGrace: 1000 },
        invoke: (_event, envelope) => on(bill, envelope),
      },
    ],
  }));
  await runtime.start();
  return { provider, clock, log };
}

const idsOf = (messages: readonly { readonly key: string | undefined }[] = []): (string | undefined)[] =>
  messages.map(({ key }) => key);

describe('an exactly-once listener whose error is forgiven', () => {
  it.each([
    ['in a transaction', true],
    ['in an inbox', false],
  ])('sends nothing that still waited in a pipeline when it threw, %s', async (_where, transactions) => {
    const gate = new Gate();
    let late: Promise<EventingError> | undefined;
    const { provider } = await start({
      abilities: { transactions },
      ...(transactions ? {} : { inbox: new OpenInbox() }),
      sending: async ({ key }) => (key === 'slow' ? gate.promise : undefined),
      on: async (bill) => {
        late = refusal(bill('slow'));
        await bill('quick');
        throw new Error('half done');
      },
      forgive: async (bill) => {
        gate.open();
        await turn();
        await bill('instead');
      },
    });
    const delivery = provider.deliver({ key: 'k' });
    await until(() => delivery.settlements.length > 0);
    const [accept] = delivery.settlements;
    expect(accept?.kind).toBe('accept');
    const sent = accept?.kind === 'accept' ? (accept.outputs ?? provider.messages) : [];
    expect(idsOf(sent)).toEqual(['instead']);
    expect(await late).toMatchObject({ code: 'EVT_OUTPUT_LATE' });
  });

  it('has ids of their own for what is sent in place of its outputs', async () => {
    let fails = true;
    const { provider } = await start({
      abilities: { transactions: true },
      on: async (bill) => {
        if (!fails) await bill('bill');
        else throw new Error('no');
      },
      forgive: (bill) => bill('instead'),
    });
    const first = provider.deliver({ key: 'k' });
    await until(() => first.settlements.length > 0);
    fails = false;
    const again = provider.deliver({ key: 'k', headers: first.headers });
    await until(() => again.settlements.length > 0);
    const ids = [first, again].flatMap(({ settlements: [accept] }) =>
      accept?.kind === 'accept' ? (accept.outputs ?? []).map(({ id }) => id) : [],
    );
    expect(new Set(ids).size).toBe(2);
  });

  it('publishes nothing of an attempt that was given up for lost before the handler forgave it', async () => {
    const gate = new Gate();
    const { provider, clock } = await start({
      inbox: new OpenInbox(),
      on: async (_bill, { attempt }) => {
        if (attempt > 1) return;
        await gate.promise;
        throw new Error('late');
      },
      forgive: (bill) => bill('instead'),
    });
    const delivery = provider.deliver({ key: 'k' });
    for (let step = 0; step < 40; step++) await clock.advance(100);
    await until(() => delivery.settlements.length > 0);
    gate.open();
    for (let step = 0; step < 5; step++) await turn();
    expect(idsOf(provider.messages)).toEqual([]);
  });
});

describe('a listener with an inbox whose outputs cannot be published', () => {
  it('keeps their keys waiting, and no room of its concurrency', async () => {
    const inbox = new OpenInbox();
    const { provider, clock, log } = await start({ inbox, on: (bill) => bill('x') });
    let away = true;
    provider.onPublish = (messages) => {
      const failed = messages.map((_, index): PublishFailure => ({ index, error: new Error('away'), indeterminate: false })); // prettier-ignore
      return Promise.resolve(away ? failed : []);
    };
    const stuck = ['a', 'b', 'a'].map((key) => provider.deliver({ key }));
    await until(() => inbox.committed === 2);
    const others = ['c', 'd', 'e'].map((key) => provider.deliver({ key }));
    await until(() => inbox.committed === 5, 'the others are handled');
    expect(log.having('could not be published by "default"').length).toBeGreaterThanOrEqual(5);
    expect([...stuck, ...others].flatMap(({ kinds }) => kinds)).toEqual([]);
    away = false;
    for (let step = 0; step < 3; step++) await clock.advance(1000);
    await until(() => [...stuck, ...others].every(({ kinds }) => kinds.length === 1));
    expect(inbox.committed).toBe(6);
  });
});
