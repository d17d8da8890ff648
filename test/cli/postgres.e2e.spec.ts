import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Test } from '@nestjs/testing';
import { Event, EventingModule, EventListener, EventManager } from 'nestjs-eventing';
import {
  databaseTransactions,
  Outbox,
  postgres,
  PostgresInbox,
  PostgresOutboxModule,
  serverDatabase,
} from 'nestjs-eventing/postgres';
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from 'vitest';
import { ProgramRunner } from '../programs/program.runner.js';
import { postgresConfig } from './postgres.config.js';
import { ScriptedService } from './scripted.service.js';

const access = inject('postgres');

@Event({ name: 'orders.placed', channel: 'orders', key: 'id' })
class OrderPlaced {
  id!: string;
}

describe.skipIf(access === undefined)('eventing, beside a service on PostgreSQL', () => {
  let command: ProgramRunner;
  beforeAll(async () => {
    command = await ProgramRunner.open('libs/cli/src/main');
  }, 600_000);
  afterAll(() => command?.close());

  /** A service that runs in this process; one of its listeners fails as long as it is told to. */
  async function shop() {
    const connectionString = access?.connectionString ?? '';
    const schema = `cli_${randomBytes(4).toString('hex')}`;
    const service = schema.replace('_', '-');
    const state = { broken: true };
    const got: string[] = [];
    const database = serverDatabase({ connectionString });
    const outbox = new Outbox({ database, schema, retention: 3_600_000, pollInterval: 100 });
    const inbox = new PostgresInbox({ database, schema });
    @EventListener(OrderPlaced, { name: 'Bill', guarantee: 'exactly-once' })
    class Bill implements EventListener<OrderPlaced> {
      on({ id }: OrderPlaced): void {
        got.push(`bill ${id}`);
      }
    }
    @EventListener(OrderPlaced, { name: 'Mail', retry: { attempts: 1 } })
    class Mail implements EventListener<OrderPlaced> {
      on({ id }: OrderPlaced): void {
        if (state.broken) throw new TypeError(`no mail for ${id}`);
        got.push(`mail ${id}`);
      }
    }
    const provider = postgres({ connectionString, schema, partitions: 2 });
    const app = await Test.createTestingModule({
      imports: [EventingModule.forRoot({ service, provider, inbox }), PostgresOutboxModule.forRoot(outbox)],
      providers: [Bill, Mail],
    }).compile();
    app.useLogger(false);
    onTestFinished(() => app.close());
    const { folder } = await ScriptedService.open([], command.folder);
    await writeFile(join(folder, 'eventing.config.mjs'), postgresConfig(service, schema, connectionString));
    const run = (...args: string[]) => command.run(args, folder);
    const own = await database();
    onTestFinished(() => own.close());
    const place = (...ids: string[]): Promise<void> =>
      databaseTransactions(own)((_sql, adapter) =>
        outbox.within(adapter, async () => {
          for (const id of ids) await app.get(EventManager).sendEvent(OrderPlaced, { id }, { id: `e-${id}` });
        }),
      );
    return { app, run, state, got, place, own, schema, folder };
  }

  const json = ({ code, stdout, stderr }: { code: number | null; stdout: string; stderr: string }) => {
    expect(code, `${stdout}${stderr}`).toBe(0);
    return JSON.parse(stdout) as { entries: Record<string, unknown>[] } & Record<string, unknown>;
  };

  it('shows what was sent and handled, sends again what failed, and replays', { timeout: 240_000 }, async () => {
    const { app, run, state, got, place, own, schema, folder } = await shop();
    const missing = await run('log', 'sent');
    expect([missing.code, missing.stderr]).toEqual([1, expect.stringMatching(/^EVT_TOPOLOGY .*npx eventing migrate/)]);
    expect(json(await run('migrate', '--json'))).toMatchObject({
      migrated: [{ provider: 'default' }, { provider: 'log', done: [] }],
    });
    await app.init();
    await place('1', '2');
    const failed = async () => json(await run('log', 'handled', '--outcome', 'failed', '--json')).entries;
    await expect.poll(async () => (await failed()).length, { timeout: 120_000 }).toBe(2);
    await expect.poll(() => got.length, { timeout: 120_000 }).toBe(2);

    const sent = json(await run('log', 'sent', '--json'));
    expect(sent.entries).toMatchObject([
      { outcome: 'sent', id: 'e-1', event: 'orders.placed', channel: 'orders', key: '1', attempts: 1 },
      { outcome: 'sent', id: 'e-2' },
    ]);
    expect(json(await run('log', 'handled', '--listener', 'Bill', '--json')).entries).toMatchObject([
      { outcome: 'handled', listener: 'Bill', event: 'orders.placed', key: expect.any(String) },
      { outcome: 'handled', listener: 'Bill' },
    ]);
    expect((await failed())[0]).toMatchObject({
      ...{ listener: 'Mail', attempts: 1, letter: { provider: 'default', reason: 'failed' } },
      error: { name: 'TypeError', message: expect.stringContaining('no mail for') },
    });
    const table = await run('log', 'handled', '--key', '1');
    expect([table.code, table.stdout]).toEqual([
      0,
      expect.stringMatching(/^AT +OUTCOME +LISTENER +EVENT[^]*failed +Mail/),
    ]);

    const asked = await run('log', 'resend', '--listener', 'Mail');
    expect([asked.code, asked.stderr]).toEqual([2, '0 failed sends and 2 failed handlings would be sent again. Say --yes to do it.\n']); // prettier-ignore
    state.broken = false;
    expect(json(await run('log', 'resend', '--id', 'e-1', '--yes', '--json'))).toMatchObject({ sent: 0, handled: 1 });
    await expect.poll(() => got.filter((each) => each.startsWith('mail')), { timeout: 120_000 }).toEqual(['mail 1']);

    // The broker of this outbox refuses nothing: a row that was given up is made by hand.
    await own.query(`UPDATE "${schema}".outbox SET state = 'failed', settled_at = now(), error = $1 WHERE id = 'e-2'`, [
      '{"name":"Error","message":"refused"}',
    ]);
    expect(json(await run('log', 'resend', '--all', '--dry-run', '--json'))).toMatchObject({ sent: 1, handled: 1 });
    const again = await run('log', 'resend', '--all', '--yes');
    expect([again.code, again.stdout]).toEqual([0, '1 failed send and 1 failed handling sent again, 0 failed.\n']);
    await expect.poll(() => got.filter((each) => each === 'mail 2').length, { timeout: 120_000 }).toBe(2);
    await expect.poll(async () => json(await run('log', 'sent', '--outcome', 'sent', '--json')).entries.length, { timeout: 120_000 }).toBe(2); // prettier-ignore

    const live = got.length;
    const replayed = await run('replay', 'Bill', '--from', 'earliest', '--json');
    expect(json(replayed)).toEqual({ listener: 'Bill', handled: 3, skipped: 0, deadLettered: 0, discarded: 0, complete: true }); // prettier-ignore
    const lines = (await readFile(join(folder, 'replayed.txt'), 'utf8')).trim().split('\n').sort();
    expect([lines, got.length]).toEqual([['1 true', '2 true', '2 true'], live]);
    const refused = await run('replay', 'Mail', '--from', '1h');
    expect([refused.code, refused.stdout, refused.stderr]).toEqual([1, '', expect.stringMatching(/^EVT_REPLAY_REFUSED Mail/)]); // prettier-ignore
    expect((await run('replay', 'Nobody', '--from', 'earliest')).stderr).toMatch(/^EVT_UNKNOWN_LISTENER .*Bill, Mail/);
  });
});
