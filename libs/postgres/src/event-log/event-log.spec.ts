import { EventLog } from 'nestjs-eventing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { refusal, refusalOf } from '../../../eventing/src/kernel.fixture.js';
import { TestApp } from '../../../eventing/src/test.app.fixture.js';
import { MemoryDatabase } from '../outbox/outbox.fixture.js';
import { eventLogCases } from './event-log.fixture.js';
import { PostgresEventLog } from './postgres.event-log.js';

describe('the event log, embedded', () => {
  let database: MemoryDatabase;
  beforeAll(async () => {
    database = await MemoryDatabase.open();
  }, 120_000);
  afterAll(() => database.end());

  eventLogCases(async () => database);

  it('is injected, asks for nothing before the first question, and ends with the application', async () => {
    let opened = 0;
    const log = new PostgresEventLog({
      schema: 'log_app',
      database: async () => {
        opened++;
        return database;
      },
    });
    expect((await refusal(log.sent())).code).toBe('EVT_NOT_RUNNING');
    const app = await TestApp.start({}, { log });
    expect([app.module.get(EventLog) === log, opened]).toEqual([true, 0]);
    expect(await Promise.all([log.sent(), log.handled()])).toEqual([{ entries: [] }, { entries: [] }]);
    expect(opened).toBe(1);
    await app.close();
    expect((await refusal(log.sent())).code).toBe('EVT_NOT_RUNNING');
  });

  it('creates its tables for eventing migrate', async () => {
    const log = new PostgresEventLog({ database: async () => database, schema: 'log_migrated' });
    expect(await log.migrate()).toContain('0005-event-log');
    expect(await log.migrate()).toEqual([]);
  });

  it('tries again to open what could not be opened', async () => {
    let away = true;
    const open = async (): Promise<MemoryDatabase> => {
      if (away) throw new Error('the database is away');
      return database;
    };
    const app = await TestApp.start({}, { log: new PostgresEventLog({ database: open, schema: 'log_later' }) });
    const log = app.module.get(EventLog);
    await expect(log.sent()).rejects.toThrow('the database is away');
    away = false;
    expect(await log.sent()).toEqual({ entries: [] });
  });

  it('names every option that cannot be used', () => {
    const error = refusalOf(() => new PostgresEventLog({ database: 5 as never, schema: 'A B', failedRetention: -1 }));
    expect(error.code).toBe('EVT_INVALID_OPTIONS');
    for (const name of ['database', 'schema', 'failedRetention']) expect(error.message).toContain(`\`${name}\``);
  });
});

describe('an application without a log', () => {
  it('says so to whoever asks', async () => {
    const app = await TestApp.start();
    const log = app.module.get(EventLog);
    for (const call of [log.sent(), log.handled(), log.resend({})])
      expect(await refusal(call)).toMatchObject({
        code: 'EVT_INVALID_OPTIONS',
        message: expect.stringMatching(/no log/),
      });
  });

  it('is refused with something that is none', async () => {
    const start = TestApp.create({}, { log: {} as EventLog });
    expect((await refusal(start)).message).toContain('log must be an EventLog');
  });
});
