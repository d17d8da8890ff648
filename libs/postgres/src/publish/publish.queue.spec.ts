import { type OutgoingMessage, systemClock } from 'nestjs-eventing';
import { describe, expect, it } from 'vitest';
import { message, textOf, until } from '../../../eventing/src/provider/provider.fixture.js';
import { VirtualClock } from '../../../testing/src/virtual.clock.js';
import { Channels } from '../log/channels.js';
import { NotConnectedError } from '../postgres.errors.js';
import type { Database } from '../sql/database.js';
import type { PlacedMessage } from './event.writer.js';
import { PublishQueue, type PublishQueueOptions } from './publish.queue.js';

const lost = (): Error => Object.assign(new Error('Connection terminated unexpectedly'), { code: '' });
const refused = (): Error => Object.assign(new Error('refused'), { code: '23514' });

/** As the table of publishers does: a number that is not above the last one is passed over, as stored before. */
class FakeLog {
  readonly stored: string[] = [];
  readonly calls: { readonly number: number; readonly texts: readonly string[] }[] = [];
  private last = 0;
  /** What becomes of each call, in order: `after` fails when it was stored. */
  readonly plan: { readonly error: Error; readonly after: boolean }[] = [];
  refuse: (text: string) => boolean = () => false;

  async store(number: number, _targeted: boolean, messages: readonly PlacedMessage[]): Promise<void> {
    const texts = messages.map(({ message: { body } }) => textOf({ body }));
    this.calls.push({ number, texts });
    await Promise.resolve();
    const fault = this.plan.shift();
    if (fault !== undefined && !fault.after) throw fault.error;
    if (texts.some(this.refuse)) throw refused();
    if (number > this.last) this.stored.push(...texts);
    this.last = Math.max(this.last, number);
    if (fault !== undefined) throw fault.error;
  }
}

function queueOf(log: FakeLog, changes: Partial<PublishQueueOptions> = {}): PublishQueue {
  const database = {
    query: () => Promise.resolve({ rows: [{ name: 'orders', partitions: 4 }], affected: 0 }),
  } as unknown as Database;
  const channels = new Channels(() => database, '"eventing"', { topology: 'create', partitions: 4 });
  return new PublishQueue(channels, {
    messages: 100,
    bytes: 1_000_000,
    publishTimeout: 20_000,
    clock: systemClock,
    store: (...call) => log.store(...call),
    ...changes,
  });
}

function texts(...all: string[]): OutgoingMessage[] {
  return all.map((text) => message('orders', { key: 'a', text }));
}

describe('the queue into the log', () => {
  it('stores calls of one turn in one statement, and what comes meanwhile in the next', async () => {
    const log = new FakeLog();
    const queue = queueOf(log);
    const first = [queue.publish(texts('1', '2')), queue.publish(texts('3'))];
    await Promise.resolve();
    await Promise.resolve();
    const later = queue.publish(texts('4'));
    expect(await Promise.all([...first, later])).toEqual([[], [], []]);
    expect(log.calls.map((call) => call.texts)).toEqual([['1', '2', '3'], ['4']]);
  });

  it('sends a statement whose answer was lost again as it was, and it is stored once', async () => {
    const log = new FakeLog();
    const queue = queueOf(log);
    log.plan.push({ error: lost(), after: true }, { error: lost(), after: false });
    const first = queue.publish(texts('1'));
    await until('it was sent', () => log.calls.length > 0);
    const second = queue.publish(texts('2'));
    expect(await Promise.all([first, second])).toEqual([[], []]);
    expect(log.calls).toEqual([
      { number: 1, texts: ['1'] },
      { number: 1, texts: ['1'] },
      { number: 1, texts: ['1'] },
      { number: 2, texts: ['2'] },
    ]);
    expect(log.stored).toEqual(['1', '2']);
  });

  it('reports exactly the messages that are refused, and stores the others in order', async () => {
    const log = new FakeLog();
    log.refuse = (text) => text.startsWith('bad');
    const queue = queueOf(log);
    const all = ['0', 'bad 1', '2', '3', 'bad 4', '5', 'bad 6', 'bad 7', '8', '9'];
    const failures = await queue.publish(texts(...all));
    expect(failures.map(({ index }) => index).sort()).toEqual([1, 4, 6, 7]);
    expect(failures.every(({ indeterminate }) => !indeterminate)).toBe(true);
    expect(failures[0]?.error).toMatchObject({ code: 'EVT_PUBLISH_FAILED' });
    expect(log.stored).toEqual(['0', '2', '3', '5', '8', '9']);
    // A number that is below one before would be passed over as stored.
    const sent = log.calls.map(({ number }) => number);
    expect(sent).toEqual([...sent].sort((a, b) => a - b));
  });

  it('never stores what was reported as failed for certain', async () => {
    const log = new FakeLog();
    const clock = new VirtualClock();
    const queue = queueOf(log, { publishTimeout: 1_000, clock });
    const away = {
      error: new NotConnectedError(Object.assign(new Error('no'), { code: 'ECONNREFUSED' })),
      after: false,
    };
    log.plan.push(...Array.from({ length: 4 }, () => away));
    const early = queue.publish(texts('early'));
    await until('it was tried', () => log.calls.length > 0);
    await clock.advance(600);
    const late = queue.publish(texts('late'));
    await clock.advance(500);
    const [failure] = await early;
    expect(failure).toMatchObject({ index: 0, indeterminate: false, error: { code: 'EVT_PUBLISH_TIMEOUT' } });
    expect(await late).toEqual([]);
    expect(log.stored).toEqual(['late']);
  });

  it('says so where it cannot know', async () => {
    const log = new FakeLog();
    const clock = new VirtualClock();
    const queue = queueOf(log, { publishTimeout: 1_000, clock });
    log.plan.push(...Array.from({ length: 50 }, () => ({ error: lost(), after: true })));
    const call = queue.publish(texts('perhaps'));
    await until('it was tried', () => log.calls.length > 0);
    await clock.advance(1_001);
    expect(await call).toMatchObject([{ indeterminate: true, error: { code: 'EVT_PUBLISH_TIMEOUT' } }]);
    expect(log.stored).toEqual(['perhaps']);
    await queue.close(0);
  });

  it.each([
    ['53100', 'EVT_DISK_FULL'],
    ['25006', 'EVT_READ_ONLY'],
  ])('waits out %s, and then tells it by its name', async (code, expected) => {
    const log = new FakeLog();
    const clock = new VirtualClock();
    const queue = queueOf(log, { publishTimeout: 1_000, clock });
    const error = Object.assign(new Error('no'), { code });
    log.plan.push(...Array.from({ length: 50 }, () => ({ error, after: false })));
    const call = queue.publish(texts('1'));
    await until('it was tried', () => log.calls.length > 0);
    await clock.advance(1_001);
    expect(await call).toMatchObject([{ indeterminate: false, error: { code: expected } }]);
    await queue.close(0);
  });

  it('keeps to its limits of one statement', async () => {
    const log = new FakeLog();
    const queue = queueOf(log, { messages: 3, bytes: 10 });
    await queue.publish(texts('1', '2', '3', '4', '1234567', '12345678', 'larger than all of it', '5'));
    expect(log.calls.map((call) => call.texts)).toEqual([
      ['1', '2', '3'],
      ['4', '1234567'],
      ['12345678'],
      ['larger than all of it'],
      ['5'],
    ]);
  });

  it('takes nothing after it was closed', async () => {
    const log = new FakeLog();
    const queue = queueOf(log);
    const before = queue.publish(texts('1'));
    await queue.close(20_000);
    expect(await before).toEqual([]);
    expect(await queue.publish(texts('2'))).toMatchObject([{ error: { code: 'EVT_NOT_RUNNING' } }]);
    expect(log.stored).toEqual(['1']);
  });
});
