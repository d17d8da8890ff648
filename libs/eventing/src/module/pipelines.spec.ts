import { Module } from '@nestjs/common';
import {
  Envelope,
  EnvelopePipeline,
  Event,
  type EventDescriptor,
  EventListener,
  type ListenerDescriptor,
  type Next,
  RejectEvent,
} from 'nestjs-eventing';
import { describe, expect, it } from 'vitest';
import { Gate, turn } from '../kernel.fixture.js';
import { TestApp } from '../test.app.fixture.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'id' })
class OrderPlaced {
  id!: string;
}

type PipelineClass = new () => EnvelopePipeline;

/** A pipeline that writes down when it is entered and left. */
function noting(name: string, journal: string[]): PipelineClass {
  @EnvelopePipeline()
  class Noting implements EnvelopePipeline {
    async send(_envelope: Envelope, event: EventDescriptor, next: Next): Promise<void> {
      journal.push(`${name} sends ${event.name}`);
      await next();
      journal.push(`${name} sent`);
    }
    async handle(_envelope: Envelope, listener: ListenerDescriptor, next: Next): Promise<void> {
      journal.push(`${name} handles ${listener.name}`);
      await next();
      journal.push(`${name} handled`);
    }
  }
  return Noting;
}
function listener(journal: string[], options: Parameters<typeof EventListener>[1] = {}) {
  @EventListener(OrderPlaced, { retry: { attempts: 3, delay: 100 }, ...options })
  class SendReceipt implements EventListener {
    on(): void {
      journal.push('on');
    }
  }
  return SendReceipt;
}

async function run(app: TestApp): Promise<void> {
  await app.events.sendEvent(OrderPlaced, { id: '1' });
  await app.idle();
}
const nested = (...names: string[]): string[] => [
  ...names.map((name) => `${name} sends orders.placed`),
  ...names.toReversed().map((name) => `${name} sent`),
  ...names.map((name) => `${name} handles SendReceipt`),
  'on',
  ...names.toReversed().map((name) => `${name} handled`),
];

describe('the order of pipelines', () => {
  it('is the one registered last outermost, around sending and around handling', async () => {
    const journal: string[] = [];
    const [first, second] = [noting('first', journal), noting('second', journal)];
    await run(await TestApp.start({ providers: [first, listener(journal), second] }));
    expect(journal).toEqual(nested('second', 'first'));
  });

  it('holds over modules', async () => {
    const journal: string[] = [];
    @Module({ providers: [noting('imported', journal)] })
    class Imported {}
    await run(await TestApp.start({ imports: [Imported], providers: [noting('own', journal), listener(journal)] }));
    expect([nested('own', 'imported'), nested('imported', 'own')]).toContainEqual(journal);
  });

  it('is what forRoot says, outermost first; those it does not name are inside', async () => {
    const journal: string[] = [];
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => noting(name, journal)) as [
      PipelineClass,
      PipelineClass,
      PipelineClass,
      PipelineClass,
    ];
    await run(await TestApp.start({ providers: [a, b, c, d, listener(journal)] }, { pipelines: [c, a] }));
    expect(journal).toEqual(nested('c', 'a', 'd', 'b'));
  });

  it('does not depend on which of the two methods a pipeline has', async () => {
    const journal: string[] = [];
    @EnvelopePipeline()
    class OnlySend implements EnvelopePipeline {
      send(_envelope: Envelope, _event: EventDescriptor, next: Next): Promise<void> {
        journal.push('only send');
        return next();
      }
    }
    @EnvelopePipeline()
    class OnlyHandle implements EnvelopePipeline {
      handle(_envelope: Envelope, _listener: ListenerDescriptor, next: Next): Promise<void> {
        journal.push('only handle');
        return next();
      }
    }
    await run(await TestApp.start({ providers: [OnlySend, OnlyHandle, listener(journal)] }));
    expect(journal).toEqual(['only send', 'only handle', 'on']);
  });
});

describe('a pipeline', () => {
  it('is one instance, and keeps its dependencies', async () => {
    const seen = new Set<unknown>();
    @EnvelopePipeline()
    class Own implements EnvelopePipeline {
      send(_envelope: Envelope, _event: EventDescriptor, next: Next): Promise<void> {
        seen.add(this);
        return next();
      }
      handle(_envelope: Envelope, _listener: ListenerDescriptor, next: Next): Promise<void> {
        seen.add(this);
        return next();
      }
    }
    const app = await TestApp.start({ providers: [Own, listener([])] });
    await run(app);
    await run(app);
    expect([...seen]).toEqual([app.module.get(Own)]);
  });

  it('changes headers and body before they are validated and serialized', async () => {
    const got: unknown[] = [];
    @EventListener(OrderPlaced)
    class Recorder implements EventListener<OrderPlaced> {
      on(event: OrderPlaced, envelope: Envelope<OrderPlaced>): void {
        got.push(event.id, envelope.headers.get('session'));
      }
    }
    @EnvelopePipeline()
    class Session implements EnvelopePipeline {
      async send(envelope: Envelope, _event: EventDescriptor, next: Next): Promise<void> {
        await turn();
        envelope.headers.set('session', 's1');
        (envelope.body as OrderPlaced).id += '-checked';
        await next();
      }
    }
    await run(await TestApp.start({ providers: [Recorder, Session] }));
    expect(got).toEqual(['1-checked', 's1']);
  });

  it('refuses an event for good with RejectEvent: a dead letter at once', async () => {
    const journal: string[] = [];
    @EnvelopePipeline()
    class Firewall implements EnvelopePipeline {
      handle(): Promise<void> {
        throw new RejectEvent('no tenant');
      }
    }
    const app = await TestApp.start({ providers: [Firewall, listener(journal)] });
    await run(app);
    expect(await app.letter()).toMatchObject({
      reason: 'rejected',
      attempts: 1,
      error: { code: 'EVT_REJECTED', message: 'no tenant' },
    });
    expect(journal).toEqual([]);
  });

  it('fails the attempt when it throws, before or after the listener, and is run afresh at each', async () => {
    const journal: string[] = [];
    const envelopes: Envelope[] = [];
    @EnvelopePipeline()
    class Shaky implements EnvelopePipeline {
      async handle(envelope: Envelope, _listener: ListenerDescriptor, next: Next): Promise<void> {
        envelopes.push(envelope);
        if (envelope.attempt === 1) throw new Error('before');
        await next();
        if (envelope.attempt === 2) throw new Error('after');
      }
    }
    const app = await TestApp.start({ providers: [Shaky, listener(journal)] });
    await app.events.sendEvent(OrderPlaced, { id: '1' });
    await app.clock.advance(1000);
    expect(journal).toEqual(['on', 'on']);
    expect(envelopes.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    expect(new Set(envelopes).size).toBe(3);
    expect(await app.letters()).toEqual([]);
  });

  it('holds its lane until the listener has returned, also if it does not wait for it', async () => {
    const gate = new Gate();
    const running: string[] = [];
    let most = 0;
    @EventListener(OrderPlaced)
    class Slow implements EventListener<OrderPlaced> {
      async on({ id }: OrderPlaced): Promise<void> {
        running.push(id);
        most = Math.max(most, running.length);
        await gate.promise;
        running.splice(running.indexOf(id), 1);
      }
    }
    @EnvelopePipeline()
    class Impatient implements EnvelopePipeline {
      async handle(_envelope: Envelope, _listener: ListenerDescriptor, next: Next): Promise<void> {
        void next();
        throw new Error('impatient');
      }
    }
    const app = await TestApp.start({ providers: [Slow, Impatient] });
    await Promise.all(['1', '2'].map((id) => app.events.sendEvent(OrderPlaced, { id }, { key: 'k' })));
    await app.clock.advance(1000);
    expect([running, most]).toEqual([['1'], 1]);
    gate.open();
    await app.clock.advance(10_000);
    expect(most).toBe(1);
  });
});
