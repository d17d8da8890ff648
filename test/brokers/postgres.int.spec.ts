import { Client } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { acquirePostgres, NotOwnedError, type PostgresBroker, startOwnPostgres } from './brokers.js';
import { environment } from './brokers.fixture.js';

describe('a PostgreSQL of a test alone', () => {
  let postgres: PostgresBroker | undefined;

  beforeAll(async () => {
    const had = await startOwnPostgres({ settings: { work_mem: '5MB' } });
    if (had.available) postgres = had;
  });
  beforeEach(({ skip }) => skip(!postgres, 'no PostgreSQL'));
  afterAll(() => postgres?.close());

  it('takes a row and gives it back, with the settings asked for', async () => {
    await query('CREATE TABLE orders (text text)');
    await query(`INSERT INTO orders VALUES ('placed')`);
    expect(await query('SELECT text FROM orders')).toEqual([{ text: 'placed' }]);
    expect(await query('SHOW work_mem')).toEqual([{ work_mem: '5MB' }]);
    expect(own().access.version).toMatch(/^\d+(\.\d+)?$/);
  });

  it.each(['kill', 'stop'] as const)('comes back after %s, on the same port and with its rows', async (end) => {
    await query(`INSERT INTO orders VALUES ('${end}')`);
    await own()[end]();
    await expect(query('SELECT 1')).rejects.toThrow('ECONNREFUSED');
    await own().restart();
    expect(await query(`SELECT text FROM orders WHERE text = '${end}'`)).toHaveLength(1);
  });

  it('takes its clients with it when it is killed', async () => {
    const client = new Client({ connectionString: own().access.connectionString });
    const broken = new Promise((resolve) => client.once('error', resolve));
    await client.connect();
    const sleeping = client.query('SELECT pg_sleep(60)').catch((error: unknown) => error);
    await own().kill();
    await own().restart();
    expect(await sleeping).toBeInstanceOf(Error);
    await broken;
  });

  it('answers nobody while it is suspended, who is connected already included', async () => {
    const client = new Client({ connectionString: own().access.connectionString });
    client.on('error', () => undefined);
    await client.connect();
    await own().suspend();
    const answers = Promise.race([client.query('SELECT 1'), query('SELECT 1')]).then(() => 'an answer');
    const patience = new Promise((resolve) => setTimeout(resolve, 300, 'no answer'));
    expect(await Promise.race([answers, patience])).toBe('no answer');
    await own().resume();
    expect(await answers).toBe('an answer');
    await client.end();
  });

  it('lets in only who is entitled', async () => {
    const { host, port, user, database } = own().access;
    const stranger = new Client({ host, port, user, database, password: 'wrong' });
    stranger.on('error', () => undefined);
    await expect(stranger.connect()).rejects.toThrow('password authentication failed');
  });

  it('comes back without its tables when wiped', async () => {
    await own().wipe();
    await expect(query('SELECT text FROM orders')).rejects.toThrow('does not exist');
  });

  it('is left alone where somebody else started it', async ({ onTestFinished }) => {
    const { connectionString, version } = own().access;
    onTestFinished(environment({ POSTGRES_URL: connectionString }));
    const foreign = await acquirePostgres();
    if (!foreign.available) throw new Error(foreign.reason);
    expect(foreign).toMatchObject({ owned: false, access: { connectionString, version } });
    await expect(foreign.kill()).rejects.toThrow(NotOwnedError);
    await foreign.close();
    expect(await query('SELECT 1 AS there')).toEqual([{ there: 1 }]);
  });

  function own(): PostgresBroker {
    if (!postgres) throw new Error('The test should have been skipped.');
    return postgres;
  }

  async function query(text: string): Promise<unknown[]> {
    const client = new Client({ connectionString: own().access.connectionString });
    client.on('error', () => undefined);
    try {
      await client.connect();
      return (await client.query<Record<string, unknown>>(text)).rows;
    } finally {
      await client.end().catch(() => undefined);
    }
  }
});

it('is shared by the run', async ({ skip }) => {
  const access = inject('postgres');
  if (!access) {
    skip('no PostgreSQL');
    return;
  }
  const client = new Client({ connectionString: access.connectionString });
  await client.connect();
  const { rows } = await client.query<{ server_version: string }>('SHOW server_version');
  expect(rows[0]?.server_version).toContain(access.version);
  await client.end();
});
