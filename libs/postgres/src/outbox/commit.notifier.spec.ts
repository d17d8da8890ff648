import { AsyncLocalStorage } from 'node:async_hooks';
import type { Clock } from 'nestjs-eventing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Gate, RecordingLogger, VirtualClock } from '../../../eventing/src/kernel.fixture.js';
import type { Database, QueryResult, Row } from '../sql/database.js';
import { CommitNotifier } from './commit.notifier.js';
import { QuestionedDatabase } from './commit.notifier.fixture.js';
import { OutboxStatements } from './outbox.statements.js';

const POLL = 1_000;

describe('the notifier of commits', () => {
  const open = new Set<string>();
  let answer: () => Promise<void>;
  let clock: VirtualClock;
  /** Milliseconds by which the time that is told was set forward. */
  let shift: number;
  let logger: RecordingLogger;
  let database: QuestionedDatabase;
  let notifier: CommitNotifier;
  beforeEach(() => {
    open.clear();
    answer = () => Promise.resolve();
    clock = new VirtualClock();
    shift = 0;
    const shifted: Clock = {
      now: () => clock.now() + shift,
      setTimeout: (fn, ms) => clock.setTimeout(fn, ms),
    };
    logger = new RecordingLogger();
    database = new QuestionedDatabase(scripted(), 'shop');
    const statements = new OutboxStatements('shop');
    const options = { database, statements, service: 'shop', pollInterval: POLL, clock: shifted, logger };
    notifier = new CommitNotifier(options);
    notifier.start();
  });
  afterEach(() => notifier.stop());

  /** Says of each transaction whether it is in `open`. */
  function scripted(): Database {
    const query = async (_text: string, values: readonly unknown[] = []): Promise<QueryResult> => {
      await answer();
      const xids = String(values[2]).slice(1, -1).split(',');
      return { rows: [{ open: xids.filter((xid) => open.has(xid)).join(',') }], affected: 1 };
    };
    const nothing = (): never => {
      throw new Error('not asked for');
    };
    return {
      kind: 'server',
      query: <R extends Row>(text: string, values?: readonly unknown[]) =>
        query(text, values) as Promise<QueryResult<R>>,
      ...{ transaction: nothing, listen: nothing, close: () => Promise.resolve() },
    };
  }

  const asked = (): readonly (readonly string[])[] => database.questions.map(({ xids }) => xids);

  it('has no timer while there is nothing to ask', async () => {
    await clock.advance(60_000);
    expect([clock.pending, asked()]).toEqual([0, []]);
    notifier.watch('1');
    await clock.advance(60_000);
    expect([clock.pending, asked()]).toEqual([0, [['1']]]);
  });

  it('asks a moment after the rows are stored, once for all that were', async () => {
    for (const xid of ['1', '2', '3', '2']) notifier.watch(xid);
    await clock.advance(0);
    expect(asked()).toEqual([]);
    await clock.advance(1);
    expect(asked()).toEqual([['1', '2', '3']]);
  });

  it('asks at most once in five milliseconds, however many transactions there are', async () => {
    for (let time = 0; time < 100; time++) {
      for (let index = 0; index < 10; index++) notifier.watch(`${time}${index}`);
      await clock.advance(1);
    }
    await clock.advance(20);
    expect(asked().length).toBeLessThanOrEqual(20);
    expect(asked().flat()).toHaveLength(1_000);
  });

  it('notifies at once of a commit that it is told of, and then at most once in five milliseconds', async () => {
    notifier.committed();
    await clock.advance(0);
    expect(database.questions).toEqual([{ xids: [], anyway: true, open: [] }]);
    for (let time = 0; time < 100; time++) {
      notifier.committed();
      await clock.advance(1);
    }
    await clock.advance(60_000);
    expect(database.questions.length).toBeLessThanOrEqual(22);
    expect(database.questions.every(({ anyway }) => anyway)).toBe(true);
    expect(clock.pending).toBe(0);
  });

  it('notifies of a commit that it is told of while a statement runs', async () => {
    const gate = new Gate();
    answer = () => gate.promise;
    notifier.committed();
    await clock.advance(1);
    notifier.committed();
    gate.open();
    await clock.advance(10);
    expect(database.questions).toHaveLength(2);
  });

  it('asks again for one that stays open, less and less often, and not after relays have looked by themselves', async () => {
    open.add('1');
    notifier.watch('1');
    await clock.advance(200);
    const early = asked().length;
    await clock.advance(60_000);
    // Each time after half of its age: log(200 / 5) / log(1.5) is 9, to 1000 it is 13.
    expect(early).toBeGreaterThanOrEqual(5);
    expect(asked().length).toBeLessThanOrEqual(20);
    expect(clock.pending).toBe(0);
  });

  it('tells of one that commits late', async () => {
    open.add('1');
    notifier.watch('1');
    await clock.advance(200);
    expect(database.questions.at(-1)?.open).toEqual(['1']);
    open.clear();
    await clock.advance(150);
    expect(database.questions.at(-1)).toEqual({ xids: ['1'], anyway: false, open: [] });
  });

  it('begins again with one that stores more', async () => {
    open.add('1');
    notifier.watch('1');
    await clock.advance(900);
    const before = asked().length;
    notifier.watch('1');
    await clock.advance(20);
    expect(asked().length).toBeGreaterThan(before);
    // By its first time it would be forgotten.
    await clock.advance(300);
    open.clear();
    await clock.advance(600);
    expect(database.questions.at(-1)).toMatchObject({ xids: ['1'], open: [] });
  });

  it('remembers a thousand, and notifies for the others in any case', async () => {
    for (let xid = 0; xid < 1_500; xid++) notifier.watch(String(xid));
    await clock.advance(100);
    expect(database.questions).toMatchObject([{ anyway: true }]);
    expect(asked()[0]).toHaveLength(1_000);
    notifier.watch('x');
    await clock.advance(100);
    expect(database.questions.slice(1)).toEqual([{ xids: ['x'], anyway: false, open: [] }]);
  });

  it('forgets where the database is away, without a word, and goes on when it is back', async () => {
    const lost = Object.assign(new Error('gone'), { code: 'ECONNRESET' });
    answer = () => Promise.reject(lost);
    notifier.watch('1');
    await clock.advance(60_000);
    expect([clock.pending, logger.lines]).toEqual([0, []]);
    answer = () => Promise.resolve();
    notifier.watch('2');
    await clock.advance(10);
    expect(asked()).toEqual([['2']]);
  });

  it('says once that the database does not let it', async () => {
    answer = () => Promise.reject(Object.assign(new Error('permission denied'), { code: '42501' }));
    for (const xid of ['1', '2']) {
      notifier.watch(xid);
      await clock.advance(100);
    }
    expect(logger.having('look every 1000 ms: permission denied')).toHaveLength(1);
  });

  it('goes on where the clock is set back', async () => {
    open.add('1');
    notifier.watch('1');
    await clock.advance(100);
    shift = -3_600_000;
    const before = asked().length;
    await clock.advance(1_500);
    // It is asked for as if it were new, and forgotten when that is over.
    expect(asked().length - before).toBeGreaterThan(5);
    expect(clock.pending).toBe(0);
  });

  it('runs in nobody’s asynchronous context', async () => {
    const session = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    answer = async () => void seen.push(session.getStore());
    for (const xid of ['1', '2']) {
      session.run('ada', () => notifier.watch(xid));
      await clock.advance(20);
      session.run('ada', () => notifier.committed());
      await clock.advance(20);
    }
    expect(seen).toEqual([undefined, undefined, undefined, undefined]);
  });

  describe('after a stop', () => {
    it('has no timer, and asks nothing, whatever was open', async () => {
      open.add('1');
      notifier.watch('1');
      await clock.advance(50);
      const before = asked().length;
      await notifier.stop();
      notifier.watch('2');
      notifier.committed();
      expect(clock.pending).toBe(0);
      await clock.advance(60_000);
      expect(asked()).toHaveLength(before);
    });

    it('has no timer, where it was about to ask', async () => {
      notifier.watch('1');
      await clock.advance(0);
      expect(clock.pending).toBe(1);
      await notifier.stop();
      await clock.advance(60_000);
      expect([clock.pending, asked()]).toEqual([0, []]);
    });

    it('has waited for the statement that was under way', async () => {
      const gate = new Gate();
      answer = () => gate.promise;
      notifier.watch('1');
      await clock.advance(10);
      const stopping = notifier.stop();
      expect(asked()).toEqual([]);
      gate.open();
      await stopping;
      expect([asked(), clock.pending]).toEqual([[['1']], 0]);
    });

    it('has not waited for ever', async () => {
      answer = () => new Promise(() => undefined);
      notifier.watch('1');
      await clock.advance(10);
      await notifier.stop();
      expect(clock.pending).toBe(0);
    });
  });
});
