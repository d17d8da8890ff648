import { describe, expect, it } from 'vitest';
import { Envelope } from '../envelope/envelope.js';
import { EventingError } from '../errors/eventing.error.js';
import { Gate, refusal, refusalOf, turn, VirtualClock } from '../kernel.fixture.js';
import { ScriptedProvider } from '../scripted.provider.fixture.js';
import type { OutgoingMessage, PublishFailure } from '../provider/event-provider.js';
import { PendingSend } from './pending.send.js';
import { PublishBuffer, type PublishBufferOptions } from './publish.buffer.js';

class Sent {
  readonly answer: Promise<Envelope>;
  readonly pending: PendingSend;
  readonly message: OutgoingMessage;
  state: 'open' | 'resolved' | 'rejected' = 'open';

  constructor(
    readonly id: string,
    key: string | undefined,
    bytes: number,
  ) {
    const gate = new Gate<Envelope>();
    const fields = { id, name: 'a', version: 1, source: '/shop', time: 0, key, correlationId: id };
    const envelope = new Envelope(
      { ...fields, causationId: undefined, notBefore: undefined, expiresAt: undefined },
      {},
    );
    this.pending = new PendingSend(envelope, 'orders', gate.open, gate.fail);
    this.answer = gate.promise;
    this.answer.then(
      () => (this.state = 'resolved'),
      () => (this.state = 'rejected'),
    );
    this.message = { id, channel: 'orders', key, headers: {}, body: Buffer.alloc(bytes), time: 0, durable: true };
  }
}

class World {
  readonly clock = new VirtualClock(0);
  readonly provider = new ScriptedProvider();
  readonly buffer: PublishBuffer;
  #number = 0;

  constructor(options: Partial<PublishBufferOptions> = {}, connected = true) {
    const { clock } = this;
    this.buffer = new PublishBuffer({
      maxEvents: 100,
      maxBytes: 1000,
      linger: 0,
      publishTimeout: 30_000,
      clock,
      ...options,
    });
    if (connected) this.buffer.connect(this.provider);
  }

  make(key?: string, bytes = 1): Sent {
    return new Sent(String(this.#number++), key, bytes);
  }
  send(key?: string, bytes = 1): Sent {
    const sent = this.make(key, bytes);
    this.buffer.fill(sent.pending, sent.message);
    return sent;
  }
  reserve(key?: string, bytes = 1): Sent {
    const sent = this.make(key, bytes);
    this.buffer.reserve(sent.pending);
    return sent;
  }
  fill(sent: Sent): void {
    this.buffer.fill(sent.pending, sent.message);
  }
  get batches(): string[][] {
    return this.provider.batches.map((batch) => batch.map(({ id }) => id));
  }
}

describe('the publish buffer', () => {
  it('gives the sends of one turn to the provider as one batch, in order', async () => {
    const world = new World();
    const sent = [world.send(), world.send(), world.send()];
    await Promise.resolve();
    sent.push(world.send());
    expect(world.batches).toEqual([]);
    await turn();
    sent.push(world.send());
    await Promise.all(sent.map(({ answer }) => answer));
    expect(world.batches).toEqual([['0', '1', '2', '3'], ['4']]);
  });

  it('hands over many sends in several batches: the answer of one does not wait for that of all', async () => {
    const slow = new Gate();
    const world = new World({ maxEvents: 1000 });
    world.provider.onPublish = async (messages) => {
      if (messages.some(({ id }) => id === '299')) await slow.promise;
      return [];
    };
    const sent = Array.from({ length: 300 }, () => world.send());
    await Promise.all(sent.slice(0, 256).map(({ answer }) => answer));
    expect(world.batches.map((batch) => batch.length)).toEqual([128, 128, 44]);
    expect(world.batches.flat()).toEqual(sent.map(({ message }) => message.id));
    expect(world.buffer.open).toBe(44);
    slow.open();
    await Promise.all(sent.map(({ answer }) => answer));
    expect(world.buffer.open).toBe(0);
  });

  it('waits for company as long as it is told to', async () => {
    const world = new World({ linger: 5 });
    world.send();
    await world.clock.advance(4);
    const last = world.send();
    expect(world.batches).toEqual([]);
    await world.clock.advance(1);
    await last.answer;
    expect(world.batches).toEqual([['0', '1']]);
    await world.clock.advance(1);
    const next = world.send();
    await world.clock.advance(4);
    expect(next.state).toBe('open');
    await world.clock.advance(1);
    expect(world.batches).toEqual([['0', '1'], ['2']]);
  });

  it('answers each send with its own envelope, and counts those without an answer', async () => {
    const world = new World();
    const gate = new Gate<PublishFailure[]>();
    world.provider.onPublish = () => gate.promise;
    const sent = [world.send(), world.send()];
    await turn();
    expect([world.buffer.open, sent[0]?.state]).toEqual([2, 'open']);
    gate.open([]);
    expect(await sent[1]?.answer).toBe(sent[1]?.pending.envelope);
    expect(world.buffer.open).toBe(0);
  });

  it('rejects those of a batch that failed, each with its own reason, and no other', async () => {
    const world = new World();
    const cause = new Error('too many on a Monday');
    const coded = new EventingError('EVT_PUBLISH_TIMEOUT', 'late', { indeterminate: true });
    world.provider.onPublish = async () => [
      { index: 3, error: coded, indeterminate: true },
      { index: 1, error: cause, indeterminate: false },
    ];
    const [first, second, third, fourth] = [world.send(), world.send(), world.send(), world.send()];
    await Promise.all([first.answer, third.answer]);
    expect(await refusal(second.answer)).toMatchObject({
      code: 'EVT_PUBLISH_FAILED',
      message: 'The event was not published to "orders": too many on a Monday',
      indeterminate: false,
      cause,
    });
    expect(await refusal(fourth.answer)).toBe(coded);
  });

  it('keeps the code of an error, and tells that the outcome is not known', async () => {
    const world = new World();
    const cause = new EventingError('EVT_CONNECTION', 'gone');
    world.provider.onPublish = async () => [{ index: 0, error: cause, indeterminate: true }];
    expect(await refusal(world.send().answer)).toMatchObject({ code: 'EVT_CONNECTION', indeterminate: true, cause });
  });

  it.each([
    ['rejects', () => Promise.reject(new Error('down'))],
    [
      'throws',
      () => {
        throw new Error('down');
      },
    ],
  ])('rejects a whole batch that the provider %s: the outcome is not known', async (_how, onPublish) => {
    const world = new World();
    world.provider.onPublish = onPublish;
    for (const { answer } of [world.send(), world.send()])
      expect(await refusal(answer)).toMatchObject({
        code: 'EVT_PUBLISH_FAILED',
        indeterminate: true,
        cause: { message: 'down' },
      });
    world.provider.onPublish = () => Promise.resolve([]);
    await world.send().answer;
    expect(world.buffer.open).toBe(0);
  });

  it('publishes a key in call order, whoever is ready first, and does not hold others', async () => {
    const world = new World();
    const [slow, quick, other] = [world.reserve('k'), world.reserve('k'), world.reserve('j')];
    world.fill(quick);
    world.fill(other);
    const unplaced = world.send('k');
    await other.answer;
    expect(world.batches).toEqual([['2']]);
    world.fill(slow);
    await unplaced.answer;
    expect(world.batches).toEqual([['2'], ['0', '1', '3']]);
  });

  it('goes on in a key when a send is given up', async () => {
    const world = new World();
    const [bad, next] = [world.reserve('k'), world.reserve('k')];
    world.fill(next);
    world.buffer.cancel(bad.pending);
    await next.answer;
    expect(world.batches).toEqual([['1']]);
  });
});

describe('a full publish buffer', () => {
  it('refuses one send more than it may hold, with and without a place, and takes sends again when there is room', async () => {
    const world = new World({ maxEvents: 3 });
    const waiting = [world.reserve(), world.send(), world.send()];
    for (const one of [() => world.send(), () => world.reserve()])
      expect(refusalOf(one)).toMatchObject({
        code: 'EVT_BUFFER_FULL',
        message: '3 sends are open: await some of them, or raise buffer.maxEvents.',
      });
    world.buffer.cancel((waiting[0] as Sent).pending);
    await world.send().answer;
    await world.send().answer;
    expect(world.batches).toEqual([['1', '2', '5'], ['6']]);
  });

  it('refuses bytes above what it may hold, publishes the others, and forgets them when they are answered', async () => {
    const world = new World({ maxBytes: 100 });
    const gate = new Gate<PublishFailure[]>();
    world.provider.onPublish = () => gate.promise;
    const first = world.send('k', 60);
    const second = world.send('k', 41);
    const third = world.send('k', 40);
    expect(await refusal(second.answer)).toMatchObject({
      code: 'EVT_BUFFER_FULL',
      message: '100 bytes wait to be published: await some sends, or raise buffer.maxBytes.',
    });
    gate.open([]);
    await Promise.all([first.answer, third.answer]);
    await world.send('k', 100).answer;
    expect(world.batches).toEqual([['0', '2'], ['3']]);
    expect(world.buffer.open).toBe(0);
  });

  it('refuses a placed send for its bytes, and the lane behind it goes on', async () => {
    const world = new World({ maxBytes: 100 });
    const [large, next] = [world.reserve('k', 101), world.reserve('k')];
    world.fill(next);
    world.fill(large);
    expect((await refusal(large.answer)).code).toBe('EVT_BUFFER_FULL');
    await next.answer;
    expect(world.batches).toEqual([['1']]);
  });

  it('makes room for bytes of sends that failed', async () => {
    const world = new World({ maxBytes: 100 });
    world.provider.onPublish = async () => [{ index: 0, error: new Error('no'), indeterminate: false }];
    for (let round = 0; round < 5; round++)
      expect((await refusal(world.send('k', 80).answer)).code).toBe('EVT_PUBLISH_FAILED');
  });
});

describe('before there is a connection', () => {
  it('sends wait, and go first', async () => {
    const world = new World({}, false);
    const early = [world.send('k'), world.send()];
    await turn();
    await turn();
    expect(early.map(({ state }) => state)).toEqual(['open', 'open']);
    world.buffer.connect(world.provider);
    await world.send('k').answer;
    expect(world.batches).toEqual([['0', '1', '2']]);
    expect(world.clock.pending).toBe(0);
  });

  it('sends wait no longer than publishTimeout, each from its own call; then the failure is certain', async () => {
    const world = new World({ publishTimeout: 1000 }, false);
    const first = world.send();
    await world.clock.advance(600);
    const second = world.send();
    await world.clock.advance(399);
    expect(first.state).toBe('open');
    await world.clock.advance(1);
    expect(await refusal(first.answer)).toMatchObject({
      code: 'EVT_PUBLISH_TIMEOUT',
      message: 'There was no connection within 1000 ms: see that the broker runs, or raise publishTimeout.',
      indeterminate: false,
    });
    expect(second.state).toBe('open');
    await world.clock.advance(600);
    expect((await refusal(second.answer)).code).toBe('EVT_PUBLISH_TIMEOUT');
    expect(world.buffer.open).toBe(0);
    world.buffer.connect(world.provider);
    await world.send().answer;
    expect(world.batches).toEqual([['2']]);
  });

  it('sends are bounded as ever', () => {
    const world = new World({ maxEvents: 1 }, false);
    world.send();
    expect(refusalOf(() => world.send()).code).toBe('EVT_BUFFER_FULL');
  });

  it('what timed out makes room, in count and in bytes', async () => {
    const world = new World({ maxEvents: 1, maxBytes: 10, publishTimeout: 100 }, false);
    for (let round = 0; round < 3; round++) {
      const sent = world.send('k', 10);
      await world.clock.advance(100);
      expect((await refusal(sent.answer)).code).toBe('EVT_PUBLISH_TIMEOUT');
    }
  });
});

describe('a publish buffer that is closed', () => {
  const stopped = new EventingError('EVT_NOT_RUNNING', 'shutting down');

  it('refuses what comes, and what no connection has taken', async () => {
    const world = new World({}, false);
    const waiting = world.send();
    world.buffer.close(stopped);
    expect(await refusal(waiting.answer)).toBe(stopped);
    expect(refusalOf(() => world.send())).toBe(stopped);
    expect(refusalOf(() => world.reserve())).toBe(stopped);
    expect([world.buffer.open, world.clock.pending]).toEqual([0, 0]);
  });

  it('refuses a send that has a place and no message yet, and those that waited behind it', async () => {
    const world = new World();
    const [slow, behind] = [world.reserve('k'), world.reserve('k')];
    world.fill(behind);
    world.buffer.close(stopped);
    world.fill(slow);
    expect(await refusal(slow.answer)).toBe(stopped);
    expect(await refusal(behind.answer)).toBe(stopped);
    expect([world.buffer.open, world.batches]).toEqual([0, []]);
  });

  it('lets what is with the provider have its answer', async () => {
    const world = new World();
    const gate = new Gate<PublishFailure[]>();
    world.provider.onPublish = () => gate.promise;
    const sent = world.send();
    await turn();
    world.buffer.close(stopped);
    gate.open([]);
    expect(await sent.answer).toBe(sent.pending.envelope);
  });
});

describe('flushing', () => {
  it.each([true, false])('is done at once where nothing is open (connected: %s)', async (connected) => {
    await expect(new World({}, connected).buffer.flushed()).resolves.toBeUndefined();
  });

  it('waits for every send: with a place, in the buffer, with the provider', async () => {
    const world = new World();
    const gate = new Gate<PublishFailure[]>();
    world.provider.onPublish = () => gate.promise;
    let flushed = false;
    const [slow, given] = [world.reserve(), world.reserve()];
    world.send();
    const again = world.buffer.flushed().then(() => (flushed = true));
    await turn();
    world.fill(slow);
    await turn();
    gate.open([]);
    await turn();
    expect([flushed, world.buffer.open]).toEqual([false, 1]);
    world.buffer.cancel(given.pending);
    await again;
  });
});
