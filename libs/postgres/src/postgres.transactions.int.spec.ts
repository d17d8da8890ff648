import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import type { Delivery } from 'nestjs-eventing';
import type { PostgresAccess } from '../../../test/brokers/brokers.js';
import { letterOf } from '../../eventing/src/scripted.provider.fixture.js';
import { acceptAll, numbers, TestService, until as untilWithin } from './postgres.fixture.js';
import { FLAWLESS, Relays } from './postgres.relay.fixture.js';
import { serverDatabase } from './sql/server.recipe.js';
import { TransactionWriter } from './subscription/transaction.writer.js';

const access = inject('postgres');
/** Leases are lost and taken again on a busy machine: nothing here is about how long that takes. */
const until = (what: string, check: () => boolean | Promise<boolean>): Promise<void> =>
  untilWithin(what, check, 90_000);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe.skipIf(access === undefined)('transactions on PostgreSQL', { timeout: 300_000 }, () => {
  let service: TestService;
  let relays: Relays;
  beforeEach(async () => {
    service = new TestService(access as PostgresAccess);
    relays = await new Relays(service).open();
  });
  afterEach(() => service.stop());

  it('commit outputs and positions together, soon, and again after a restart', async () => {
    const { process } = await relays.process();
    await relays.send(500);
    expect(await relays.flaws()).toEqual(FLAWLESS);
    await process.stop();
    await relays.process();
    await relays.send(10);
    expect(await relays.flaws()).toEqual(FLAWLESS);
  });

  it('store once what was sent again because its answer was lost', async () => {
    const { process } = await relays.process();
    const end = relays.stream();
    for (let round = 0; round < 25; round++) {
      const before = relays.arrived;
      await until('it is at work', () => relays.arrived > before);
      // Somewhere between a statement and its answer.
      await pause(round % 7);
      process.proxy.reset();
    }
    await end();
    expect(await relays.flaws()).toEqual(FLAWLESS);
  });

  it('let nobody see an output twice or out of order, however often processes die', async () => {
    for (let life = 0; life < 3; life++) {
      const { process } = await relays.process();
      const before = relays.arrived;
      const end = relays.stream();
      await until('it is at work', () => relays.arrived > before + 20);
      await pause(life * 13);
      process.proxy.cut();
      await end();
    }
    await relays.process();
    expect(await relays.flaws()).toEqual(FLAWLESS);
  });

  it('are closed to a process that was silent beyond its lease, whatever it still had under way', async () => {
    const zombie = await relays.process();
    const end = relays.stream();
    await until('it is at work', () => relays.arrived > 20);
    zombie.process.proxy.freeze();
    const heir = await relays.process();
    await until('its heir has taken over', () => heir.received.deliveries.length > 0);
    zombie.process.proxy.thaw();
    await until('it notices', () => zombie.received.revoked.length > 0);
    await end();
    expect(await relays.flaws()).toEqual(FLAWLESS);
  });

  it('leave alone the sources whose outputs are taken, while one stands still, which is told once, and then goes on', async () => {
    const constraint = `refuse_${service.name.replaceAll('-', '_')}`;
    await service.query(
      `ALTER TABLE eventing.events ADD CONSTRAINT ${constraint} CHECK (channel <> '${relays.to}' OR key <> 'k3') NOT VALID`,
    );
    const { process } = await relays.process();
    try {
      await relays.send(70);
      await until('all others arrive', () => relays.arrived >= 40);
      await until('it is told', () => told() > 0);
      await relays.send(70);
      await until('all others arrive', () => relays.arrived >= 80);
      expect(told()).toBe(1);
    } finally {
      await service.query(`ALTER TABLE eventing.events DROP CONSTRAINT ${constraint}`);
    }
    expect(await relays.flaws()).toEqual(FLAWLESS);

    function told(): number {
      return process.context.lines.filter((line) => line.startsWith('error') && line.includes('stands still')).length;
    }
  });

  it('let the other sources go on, and store nothing twice, where one in doubt is refused when it is sent again', async () => {
    const name = service.name.replaceAll('-', '_');
    // What is taken changes without a lock on the table, for which statements under way would be waited for.
    const takes = (what: boolean) =>
      service.query(
        `CREATE OR REPLACE FUNCTION takes_${name}() RETURNS boolean LANGUAGE sql VOLATILE AS 'SELECT ${what}'`,
      );
    await takes(true);
    await service.query(
      `ALTER TABLE eventing.events ADD CONSTRAINT refuse_${name}
       CHECK (channel <> '${relays.to}' OR key <> 'k3' OR takes_${name}()) NOT VALID`,
    );
    let kept: Delivery[] | undefined;
    const settle = (delivery: Delivery): void => void (kept?.push(delivery) ?? relays.accept(delivery));
    const { process } = await relays.process(settle, { leaseTime: 30_000, applicationName: service.name });
    try {
      await relays.send(70);
      await until('it is at work', () => relays.arrived >= 70);
      kept = [];
      await relays.send(70);
      // Before a transaction is open, which would hold readers back.
      await until('they are at work', () => kept?.length === 70);
      const client = await service.client();
      await client.query('BEGIN');
      await client.query('SELECT 1 FROM eventing.positions WHERE subscription = $1 FOR UPDATE', [
        `${service.name}.Relay`,
      ]);
      const settled = kept;
      kept = undefined;
      settled.forEach((delivery) => relays.accept(delivery));
      const blocked = async (): Promise<number[]> => {
        const rows = await service.query<{ pid: number }>(
          `SELECT pid FROM pg_stat_activity
           WHERE application_name = $1 AND wait_event_type = 'Lock' AND query LIKE '%given AS MATERIALIZED%'`,
          [service.name],
        );
        return rows.map(({ pid }) => pid);
      };
      await until('a transaction waits', async () => (await blocked()).length > 0);
      const pids = await blocked();
      process.proxy.reset();
      await service.query('SELECT pg_terminate_backend(pid) FROM unnest($1::integer[]) AS pid', [pids]);
      await takes(false);
      await client.query('COMMIT');
      await relays.send(70);
      await until('all others arrive', () => relays.arrived >= 70 + 40 + 40);
      await until('it is told', () => process.context.lines.some((line) => line.includes('stands still')));
    } finally {
      await takes(true);
      await service.query(`ALTER TABLE eventing.events DROP CONSTRAINT refuse_${name}`);
      await service.query(`DROP FUNCTION takes_${name}`);
    }
    expect(await relays.flaws()).toEqual(FLAWLESS);
  });

  it('in doubt are burnt or found stored, once and for all, whatever arrives late', async () => {
    await service.started();
    const database = await serverDatabase({ connectionString: (access as PostgresAccess).connectionString })();
    const member = { subscription: `${service.name}.Own`, member: 'me', channels: [], perProcess: false };
    await service.query('INSERT INTO eventing.subscriptions (name, durable) VALUES ($1, true)', [member.subscription]);
    await service.query(
      `INSERT INTO eventing.positions (subscription, channel, partition, xid, position, owner, generation)
       VALUES ($1, 'orders', 0, '0', 0, 'me', 7), ($1, 'orders', 1, '0', 0, 'other', 8)`,
      [member.subscription],
    );
    const writer = new TransactionWriter({
      ...{ schema: 'eventing', service: service.name, notified: 'nobody', waitUntil: (at) => at },
    });
    const publisher = `${service.name}:me`;
    const sources = [0, 1].map((partition) => ({
      ...{ source: { channel: 'orders', partition }, generation: 7, outputs: [], removals: [] },
      ...{ settled: { letters: [], deferrals: [] }, state: { xid: 0, position: 5, done: [], attempt: 1 } },
    }));
    const write = (number: number) => writer.write(database, { publisher, number }, member, sources);
    const burn = (number: number) => writer.burn(database, { publisher, number }, member, sources);
    const position = async (): Promise<unknown> =>
      (await service.query(`SELECT position FROM eventing.positions WHERE subscription = $1 AND partition = 0`, [member.subscription]))[0]?.['position']; // prettier-ignore
    try {
      // Also where nothing of that publisher was ever stored.
      expect(await burn(1)).toBeUndefined();
      expect(await burn(1)).toBeUndefined();
      await write(1);
      expect(await position()).toBe('0');
      expect(await write(3)).toEqual([sources[1]]);
      expect(await position()).toBe('5');
      expect(await burn(3)).toEqual([sources[1]]);
      expect(await burn(4)).toBeUndefined();
      // One of before that arrives only now takes nothing back.
      await burn(1);
      sources.forEach(({ state }) => Object.assign(state, { position: 9 }));
      await write(4);
      await write(5);
      expect(await position()).toBe('5');
      await write(6);
      expect(await position()).toBe('9');
    } finally {
      await database.close();
    }
  });

  it('store a dead letter with the position, or not at all', async () => {
    const reject = (delivery: Delivery): void => {
      const { key, headers, body, time, position } = delivery;
      const letter = letterOf({ id: `of ${position}`, message: { key, headers, body, time, position } });
      void Promise.resolve(delivery.settle({ kind: 'reject', letter })).catch(() => undefined);
    };
    const one = await relays.process(reject);
    const sends = relays.send(200);
    await until('it is at work', () => one.received.deliveries.length > 50);
    one.process.proxy.cut();
    await sends;
    const two = await relays.process(reject);
    const texts = async (): Promise<string[]> => {
      const { letters } = await two.process.provider.deadLetters.scan({ limit: 1_000 });
      return letters.map(({ message: { body } }) => Buffer.from(body).toString());
    };
    await until('all are stored', async () => (await texts()).length >= 200);
    expect((await texts()).toSorted((a, b) => Number(a) - Number(b))).toEqual(numbers(200));
  });

  it('keep a deferred message away, and its outputs with it, over deaths', async () => {
    const settle = (delivery: Delivery): void => {
      if (delivery.attempt > 1) relays.accept(delivery);
      else void delivery.settle({ kind: 'defer', notBefore: Date.now() + 50, attempt: 2 });
    };
    const one = await relays.process(settle);
    await relays.send(150);
    await until('some are through', () => relays.arrived > 10);
    one.process.proxy.cut();
    await relays.process(settle);
    const { lost, twice } = await relays.flaws();
    expect({ lost, twice }).toEqual({ lost: [], twice: [] });
    await until('none is left', async () => (await deferred()) === 0);
  });

  it('refuse an output for one subscription alone, and leave its message as it was', async () => {
    const refused: unknown[] = [];
    const { received } = await relays.process((delivery) => {
      const output = { ...relays.output(delivery), to: 'Somebody' };
      void Promise.resolve(delivery.settle({ kind: 'accept', outputs: [output] })).catch((error: unknown) => {
        refused.push(error);
        relays.accept(delivery);
      });
    });
    await relays.send(1);
    expect(await relays.flaws()).toEqual(FLAWLESS);
    expect(received.deliveries).toHaveLength(1);
    expect(refused).toMatchObject([{ code: 'EVT_PUBLISH_FAILED' }]);
  });

  it('are nothing for a subscription that each process has for itself', async () => {
    const one = await service.started();
    const both = { transactional: true, perProcess: true };
    await expect(one.subscribe('Cache', service.channel, acceptAll, both)).rejects.toMatchObject({
      code: 'EVT_UNSUPPORTED',
    });
  });

  it('or not, a deferred message is untouched by who has lost its source', async () => {
    const channel = `${service.name}.late`;
    const zombie = await (await service.process({ partitions: 1 })).start(channel);
    const old = await zombie.subscribe('Late', channel, (delivery) => {
      if (delivery.attempt === 1) void delivery.settle({ kind: 'defer', notBefore: Date.now(), attempt: 2 });
    });
    await zombie.publish(channel, ['accepted', 'deferred again', 'kept']);
    await until('they are at work', () => old.deliveries.length === 6);
    await until('that the log is done with them is on record', async () => {
      const behind = await service.query(
        `SELECT 1 FROM eventing.events e JOIN eventing.positions p USING (channel, partition)
         WHERE channel = $1 AND (e.xid, e.position) >= (p.xid, p.position)`,
        [channel],
      );
      return behind.length === 0;
    });
    zombie.proxy.freeze();
    const heir = await (await service.process()).start(channel);
    let isOpen = false;
    const got = await heir.subscribe('Late', channel, (delivery) => {
      if (isOpen) acceptAll(delivery);
    });
    await until('the first of them is with the heir', () => got.deliveries.length > 0);
    const [first, second, third] = old.deliveries.slice(3);
    void first?.settle({ kind: 'accept' });
    void Promise.resolve(second?.settle({ kind: 'defer', notBefore: Date.now() + 3_600_000, attempt: 9 })).catch(
      () => undefined,
    );
    void third?.settle({ kind: 'release' });
    zombie.proxy.thaw();
    await until('it notices', () => old.revoked.length > 0);
    await zombie.stop();
    expect(await deferred()).toBe(3);
    isOpen = true;
    got.deliveries.forEach(acceptAll);
    await until('none is left', async () => (await deferred()) === 0);
    expect(new Set(got.texts)).toEqual(new Set(['accepted', 'deferred again', 'kept']));
  });

  async function deferred(): Promise<number> {
    const [row] = await service.query<{ count: string }>(
      'SELECT count(*) AS count FROM eventing.deferred WHERE target LIKE $1',
      [`${service.name}.%`],
    );
    return Number(row?.count);
  }
});
