import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type PostgresBroker, startOwnPostgres } from '../../../test/brokers/brokers.js';
import { message, TestService, until } from './postgres.fixture.js';
import { migrate } from './postgres.js';
import { FLAWLESS, Relays } from './postgres.relay.fixture.js';

describe('what PostgreSQL refuses', () => {
  let server: PostgresBroker | undefined;
  let service: TestService;

  beforeAll(async () => {
    const had = await startOwnPostgres();
    if (had.available) server = had;
  }, 120_000);
  beforeEach(({ skip }) => {
    skip(server === undefined, 'there is no PostgreSQL');
    service = new TestService(own().access);
  });
  afterEach(() => service?.stop());
  afterAll(() => server?.close());

  function own(): PostgresBroker {
    if (server === undefined) throw new Error('The test should have been skipped.');
    return server;
  }

  const role = async (name: string, rights: string): Promise<void> => {
    await service.query(`CREATE ROLE ${name} LOGIN PASSWORD 'limited-password' ${rights}`);
  };

  it.each([
    ['a wrong password', { password: 'wrong-password' }, 'EVT_AUTHENTICATION', '`password`'],
    ['a user that is not there', { user: 'nobody-knows' }, 'EVT_AUTHENTICATION', '`user`'],
    ['a database that is not there', { database: 'nowhere' }, 'EVT_TOPOLOGY', '"nowhere"'],
    ['a server without TLS', { ssl: true }, 'EVT_CONNECTION', '`ssl`'],
  ])('%s ends the start', async (_what, options, code, says) => {
    const one = await service.process(options);
    const refusal = await one.start(service.channel).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code, message: expect.stringContaining(says) as string });
    expect(String(refusal)).not.toContain('wrong-password');
    // Asked once, and not again and again.
    expect(one.proxy.attempts).toBeLessThanOrEqual(2);
    await expect(migrate({ ...withoutUrl(own().access), ...options })).rejects.toMatchObject({ code });
  });

  it('a user without rights, by what it lacks', async () => {
    await (await service.started()).stop();
    await role('reader', '');
    const limited = { user: 'reader', password: 'limited-password' };
    const one = await service.process(limited);
    await expect(one.start(service.channel)).rejects.toMatchObject({ code: 'EVT_AUTHENTICATION' });
    const other = await service.process({ ...limited, schema: 'another' });
    await expect(other.start(service.channel)).rejects.toMatchObject({
      code: 'EVT_AUTHENTICATION',
      message: expect.stringContaining('CREATE on the database') as string,
    });
  });

  it('a user who may use the tables and create nothing starts, after somebody else has migrated', async () => {
    await (await service.started({ schema: 'shared' })).stop();
    await role('worker', '');
    await service.query('GRANT USAGE ON SCHEMA shared TO worker');
    await service.query('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shared TO worker');
    const one = await service.process({ user: 'worker', password: 'limited-password', schema: 'shared' });
    await one.start(service.channel);
    const got = await one.subscribe('Receipt', service.channel);
    await one.publish(service.channel, ['1']);
    await until('it arrives', () => got.texts.length > 0);
    expect(got.texts).toEqual(['1']);
  });

  it('a server that only reads: the start, and a send that waited for it', async () => {
    await service.started({ schema: 'read_only' });
    await service.query(`ALTER ROLE "${own().access.user}" SET default_transaction_read_only = on`);
    // Roles' settings are of new connections.
    const one = await service.process({ schema: 'read_only' }, { topology: 'check', publishTimeout: 600 });
    try {
      await one.start(service.channel);
      const [failure] = await one.provider.publish([message(service.channel)]);
      expect(failure).toMatchObject({ error: { code: 'EVT_READ_ONLY' }, indeterminate: false });
      const other = await service.process({ schema: 'never_made' });
      await expect(other.start(service.channel)).rejects.toMatchObject({ code: 'EVT_READ_ONLY' });
    } finally {
      await service.query('SET default_transaction_read_only = off');
      await service.query(`ALTER ROLE "${own().access.user}" RESET default_transaction_read_only`);
    }
    one.proxy.reset();
    await until('it takes events again', async () => {
      const failures = await one.provider.publish([message(service.channel)]);
      return failures.length === 0;
    });
  });

  it('a disk that is full: the send waits, and is told so; when there is room, it is taken', async () => {
    const one = await service.started({ schema: 'no_room' }, { publishTimeout: 700 });
    await service.query(
      `CREATE FUNCTION no_room.refuse() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$`,
    );
    await service.query('CREATE TRIGGER refuse BEFORE INSERT ON no_room.events EXECUTE FUNCTION no_room.refuse()');
    const [failure] = await one.provider.publish([message(service.channel)]);
    expect(failure).toMatchObject({ error: { code: 'EVT_DISK_FULL' }, indeterminate: false });
    const waiting = one.provider.publish([message(service.channel, { text: 'kept' })]);
    await service.query('DROP TRIGGER refuse ON no_room.events');
    expect(await waiting).toEqual([]);
    const stored = await service.query<{ body: Buffer }>('SELECT body FROM no_room.events');
    expect(stored.map(({ body }) => body.toString())).toEqual(['kept']);
  });

  it('a schema of a newer version is left alone', async () => {
    const { connectionString } = own().access;
    expect(await migrate({ connectionString, schema: 'newer' })).toContain('0001-log');
    expect(await migrate({ connectionString, schema: 'newer' })).toEqual([]);
    await service.query(`INSERT INTO newer.migrations (name) VALUES ('9999-from-the-future')`);
    const newer = { code: 'EVT_SCHEMA_NEWER', message: expect.stringContaining('9999-from-the-future') as string };
    await expect(migrate({ connectionString, schema: 'newer' })).rejects.toMatchObject(newer);
    for (const topology of ['create', 'check'] as const) {
      const one = await service.process({ schema: 'newer' }, { topology });
      await expect(one.start(service.channel)).rejects.toMatchObject(newer);
    }
  });

  it("a schema that is not there is named under topology: 'check', and nothing is created", async () => {
    const one = await service.process({ schema: 'not_there' }, { topology: 'check' });
    await expect(one.start(service.channel)).rejects.toMatchObject({
      code: 'EVT_TOPOLOGY',
      message: expect.stringContaining('npx eventing migrate') as string,
    });
    expect(await service.query(`SELECT 1 FROM pg_namespace WHERE nspname = 'not_there'`)).toEqual([]);
  });

  it('is brought up once by many processes that begin at one time', async () => {
    const many = await Promise.all(Array.from({ length: 6 }, () => service.process({ schema: 'raced' })));
    await Promise.all(many.map((one) => one.start(service.channel)));
    const ran = many.filter(({ context }) => context.lines.some((line) => line.includes('ran 0001-log')));
    expect(ran).toHaveLength(1);
  });

  it('a dump that was restored into a cluster with fewer transactions is not read silently', async () => {
    const one = await service.started({ schema: 'restored' });
    await one.subscribe('Receipt', service.channel);
    await one.stop();
    await service.query(`UPDATE restored.positions SET xid = '99999999999'`);
    const two = await service.process({ schema: 'restored' });
    await expect(two.start(service.channel)).rejects.toMatchObject({
      code: 'EVT_TOPOLOGY',
      message: expect.stringContaining('pg_resetwal') as string,
    });
  });

  it('nor is one that has events alone', async () => {
    const one = await service.started({ schema: 'restored_events' });
    await one.stop();
    await service.query(
      `INSERT INTO restored_events.events (channel, partition, xid, time, id, headers, body)
       VALUES ($1, 1, '99999999999', 0, 'x', '{}', '')`,
      [service.channel],
    );
    const two = await service.process({ schema: 'restored_events' });
    await expect(two.start(service.channel)).rejects.toMatchObject({ code: 'EVT_TOPOLOGY' });
  });

  it('another cluster that answers after a lost connection takes nothing, and the right one does again', async () => {
    const schema = 'exchanged';
    const one = await service.started({ schema });
    const got = await one.subscribe('Receipt', service.channel);
    // What a dump would have brought along.
    await service.query(
      `INSERT INTO ${schema}.events (channel, partition, xid, time, id, headers, body) VALUES ($1, 1, '99999999999', 0, 'x', '{}', '')`,
      [service.channel],
    );
    one.proxy.reset();
    await until('it is noticed', () => one.context.lines.some((line) => line.includes('pg_resetwal')));
    expect(one.context.statuses.at(-1)).toBe('disconnected');
    const [failure] = await one.provider.publish([message(service.channel)]);
    expect(failure).toMatchObject({ error: { code: 'EVT_TOPOLOGY' }, indeterminate: false });
    await service.query(`DELETE FROM ${schema}.events WHERE id = 'x'`);
    one.proxy.reset();
    await until('it is back', () => one.context.statuses.at(-1) === 'connected');
    await one.publish(service.channel, ['1']);
    await until('it arrives', () => got.texts.length === 1);
  });

  it('positions that this log cannot have are refused before they are on record', async () => {
    const one = await service.started({ schema: 'bogus' });
    const source = `${service.channel}/1`;
    for (const [positions, says] of [
      [{ [source]: '99999999999.1' }, 'beyond the end of the log'],
      [{ [`${service.channel}/99`]: '1.1' }, `${service.channel}/99`],
      [{ 'elsewhere/0': '1.1' }, 'elsewhere/0'],
    ] as const)
      for (const perProcess of [false, true])
        await expect(
          one.subscribe('Receipt', service.channel, undefined, { from: { positions }, perProcess }),
        ).rejects.toMatchObject({ code: 'EVT_POSITION', message: expect.stringContaining(says) as string });
    expect(await service.query('SELECT 1 FROM bogus.positions UNION ALL SELECT 1 FROM bogus.members')).toEqual([]);
  });

  it('outputs that find no room on the disk are kept, and committed when there is some', async () => {
    const relays = await new Relays(service).open();
    await service.query(
      `CREATE FUNCTION eventing.refuse_outputs() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$`,
    );
    await service.query(
      `CREATE TRIGGER refuse BEFORE INSERT ON eventing.events FOR EACH ROW
       WHEN (NEW.channel = '${relays.to}') EXECUTE FUNCTION eventing.refuse_outputs()`,
    );
    const { process } = await relays.process();
    await relays.send(30);
    await until('it is told', () => process.context.lines.some((line) => line.includes('disk of PostgreSQL is full')));
    expect(relays.arrived).toBe(0);
    await service.query('DROP TRIGGER refuse ON eventing.events');
    expect(await relays.flaws()).toEqual(FLAWLESS);
  });

  it('tries again, with pauses, while it is away, and stops when it is told to', async () => {
    const one = await service.process();
    one.proxy.cut();
    const starting = one.start(service.channel).catch((error: unknown) => error);
    await until('it tries again', () => one.proxy.attempts >= 3);
    expect(one.context.lines.filter((line) => line.startsWith('warn'))).toHaveLength(1);
    await one.provider.stop();
    expect(await starting).toMatchObject({ code: 'EVT_NOT_RUNNING' });
  });
});

function withoutUrl({ host, port, user, password, database }: PostgresBroker['access']) {
  return { host, port, user, password, database };
}
