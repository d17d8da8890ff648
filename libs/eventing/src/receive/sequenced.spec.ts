import type { Inbox } from 'nestjs-eventing';
import { describe, expect, it } from 'vitest';
import { refusal } from '../kernel.fixture.js';
import type { TestApp } from '../test.app.fixture.js';
import { Accounts, Changed, type Step } from './sequenced.fixture.js';

const STEPS: readonly Step[] = ['park', 'isCurrent', 'advance', 'failed', 'publish'];
const MOMENTS = STEPS.flatMap((step) => (['before', 'after'] as const).map((when) => [step, when] as const));

/** One dead letter and what waits behind it. */
async function row(count = 4): Promise<{ accounts: Accounts; one: TestApp }> {
  const accounts = new Accounts();
  const one = await accounts.start('one');
  await accounts.send(one, ...Array.from({ length: count }, (_, n) => n));
  return { accounts, one };
}

const first = async (app: TestApp): Promise<string> => (await app.letters())[0]?.id ?? '';

describe('a row of dead letters keeps order and loses nothing', () => {
  it.each(MOMENTS)('where %s fails once, %s it was done', async (failing, moment) => {
    const { accounts, one } = await row(2);
    let failures = 0;
    const interfere = (step: Step, when: string): void => {
      if (step !== failing || when !== moment || failures++ > 0) return;
      throw new Error('made to fail');
    };
    // What fails is to be the publishing of a letter.
    if (failing !== 'publish') accounts.interfere = interfere;
    await accounts.send(one, 2, 3);
    accounts.interfere = interfere;
    // Once more in vain, then well. What could not be sent can be sent again.
    await accounts.redrive(one).catch(() => undefined);
    accounts.broken = false;
    await accounts.redrive(one).catch(() => undefined);
    await accounts.redrive(one);
    expect(failures, `${failing} was asked for`).toBeGreaterThan(0);
    expect(accounts.handled).toEqual([0, 1, 2, 3]);
    expect(await one.letters()).toEqual([]);
  });

  it.each(MOMENTS)('where the process dies at %s, %s it was done', async (dying, moment) => {
    const { accounts, one } = await row(2);
    const outside = await accounts.outside();
    let dead = false;
    accounts.interfere = (step, when) => {
      if (dead || step !== dying || when !== moment) return;
      dead = true;
      accounts.broker.faults.crash('one');
    };
    await accounts.send(outside, 2, 3);
    await accounts.redrive(outside);
    accounts.broken = false;
    if (!dead) await accounts.redrive(outside);
    expect(dead, `${dying} was asked for`).toBe(true);
    await accounts.start('two');
    await accounts.settle();
    // Before it died nobody had asked for the first, or it was the first again. Else who takes over goes on unaided.
    if (dying === 'park' || `${dying} ${moment}` === 'failed after') await accounts.redrive(outside);
    expect(accounts.handled).toEqual([0, 1, 2, 3]);
    expect(await outside.letters()).toEqual([]);
    await one.close();
  });

  it('where the broker refuses the next letter for a while', async () => {
    const { accounts, one } = await row(3);
    accounts.broken = false;
    let advanced = 0;
    accounts.interfere = (step, when) => {
      if (step === 'advance' && when === 'after' && advanced++ === 0) accounts.broker.faults.rejectNext(1);
    };
    await accounts.redrive(one);
    expect(accounts.handled).toEqual([0, 1, 2]);
    expect(one.logger.having('What waits behind it could not be sent')).toHaveLength(1);
  });

  it('where the store is away for longer than an attempt may take: what was handled is not called late', async () => {
    const accounts = new Accounts();
    const one = await accounts.start('one', { deadLetters: 'sequenced', timeout: 1_000, timeoutGrace: 500 });
    await accounts.send(one, 0, 1);
    accounts.broken = false;
    let away = true;
    accounts.interfere = (step) => {
      if (away && step === 'advance') throw new Error('away');
    };
    await accounts.redrive(one);
    away = false;
    await accounts.settle();
    expect(accounts.seen.map(({ n }) => n)).toEqual([0, 1]);
    expect(await one.letters()).toEqual([]);
  });

  it.each(['at-least-once', 'at-most-once'] as const)(
    'where the listener is not sequenced any more, is %s, and fails once more',
    async (guarantee) => {
      const { accounts, one } = await row(3);
      await one.close();
      const two = await accounts.start('two', { guarantee });
      await accounts.redrive(two);
      expect((await two.letters()).map(({ sequence }) => sequence)).toEqual(['first', 'waiting', 'waiting']);
      accounts.broken = false;
      await accounts.redrive(two);
      expect(accounts.handled).toEqual([0, 1, 2]);
      expect(await two.letters()).toEqual([]);
    },
  );

  it('where the listener handles exactly once, by the inbox alone', async () => {
    const accounts = new Accounts();
    const known = new Set<string>();
    const inbox: Inbox = {
      async once({ id }, work) {
        const duplicate = known.has(id);
        if (!duplicate) await work({ stage: () => Promise.resolve() });
        known.add(id);
        return { duplicate, outputs: [] };
      },
    };
    const one = await accounts.start('one', { deadLetters: 'sequenced', guarantee: 'exactly-once' }, { inbox });
    expect(one.logger.having('exactly-once by inbox · order by key')).toHaveLength(1);
    expect(one.logger.having('sequenced dead letters shop.dead-letters')).toHaveLength(1);
    await accounts.send(one, 0, 1, 2);
    expect(accounts.handled).toEqual([]);
    accounts.broken = false;
    // Handled, and then what follows fails: the second time it is a duplicate, and no call.
    let failures = 0;
    accounts.interfere = (step, when) => {
      if (step === 'advance' && when === 'before' && failures++ === 0) accounts.broker.faults.crash('one');
    };
    await accounts.redrive(one);
    const two = await accounts.start('two', { deadLetters: 'sequenced', guarantee: 'exactly-once' }, { inbox });
    await accounts.settle();
    expect(accounts.seen.map(({ n }) => n)).toEqual([0, 1, 2]);
    expect(await two.letters()).toEqual([]);
  });

  it('where its events are replayed: the past waits for nobody', async () => {
    const { accounts, one } = await row(3);
    const replay = await one.runtime.replays.start({ listener: 'Balances', from: 'earliest' });
    await accounts.settle();
    await replay.ended;
    expect(accounts.handled).toEqual([1, 2]);
    expect((await one.letters()).map(({ sequence }) => sequence)).toEqual(['first', 'waiting', 'waiting']);
  });

  it('where the listener is not sequenced any more, and its events go on meanwhile', async () => {
    const { accounts, one } = await row(3);
    await one.close();
    const two = await accounts.start('two', {});
    await accounts.send(two, 3);
    expect(accounts.handled).toEqual([3]);
    accounts.broken = false;
    await two.deadLetters.redrive(await first(two));
    await accounts.settle();
    expect(accounts.handled).toEqual([3, 0, 1, 2]);
    expect(await two.letters()).toEqual([]);
  });
});

describe('a letter of a row', () => {
  it('that is edited keeps its place, and reaches the listener with its headers and nothing of ours', async () => {
    const { accounts, one } = await row(3);
    const [letter] = await one.letters();
    const edited = await one.deadLetters.edit(letter?.id ?? '', { merge: { n: 9 } });
    await accounts.settle();
    expect(accounts.handled).toEqual([9, 1, 2]);
    expect(accounts.seen.map(({ headers }) => headers)).toEqual([{ n: '0' }, { n: '1' }, { n: '2' }]);
    expect(accounts.seen[0]?.id).toBe(edited.id);
  });

  it('that is edited and fails again is kept as it was edited, under its id', async () => {
    const { accounts, one } = await row(2);
    const [before] = await one.letters();
    const edited = await one.deadLetters.edit(before?.id ?? '', { headers: { mended: 'no' } });
    await accounts.settle();
    const [after] = await one.letters();
    expect(after).toMatchObject({ id: before?.id, sequence: 'first', event: { id: edited.id } });
    expect(after?.message.headers).toMatchObject({ mended: 'no' });
    expect(Object.keys(after?.message.headers ?? {}).filter((name) => name.startsWith('eventing-'))).toEqual([]);
  });

  it('is not edited to another key: it would have no place', async () => {
    const { one } = await row(2);
    const refused = await refusal(one.deadLetters.edit(await first(one), { merge: { account: 'b' } }));
    expect(refused).toMatchObject({ code: 'EVT_DEAD_LETTER_SEQUENCE' });
    expect(await one.letters()).toHaveLength(2);
  });

  it('can be redriven again where it was sent and has not been handled; by many at once it is not', async () => {
    const { accounts, one } = await row(2);
    accounts.broken = false;
    accounts.broker.faults.pauseDelivery();
    await one.deadLetters.redrive(await first(one));
    expect((await one.letters()).map(({ sequence }) => sequence)).toEqual(['released', 'waiting']);
    expect(await one.deadLetters.redriveAll()).toEqual({ redriven: 0, failed: 0, failures: [], more: false });
    await one.deadLetters.redrive(await first(one));
    accounts.broker.faults.resumeDelivery();
    await accounts.settle();
    expect(accounts.seen.map(({ n }) => n)).toEqual([0, 1]);
  });

  it('that waits has no attempts and no stack, and is told of as what it is', async () => {
    const { one } = await row(2);
    const [, waiting] = await one.letters();
    expect(waiting).toMatchObject({ reason: 'waiting', attempts: 0, error: { code: 'EVT_DEAD_LETTER_SEQUENCE' } });
    expect(waiting?.error.stack).toBeUndefined();
    expect((await one.deadLetters.groups({ reason: 'waiting' })).letters).toBe(1);
  });
});

describe('a message that says it is a release', () => {
  it.each([
    ['is handled as any other where nobody could have written that', 'nonsense', 1],
    ['is passed over where there is no such letter: it has been handled', '1 nobody', 0],
  ])('%s', async (_what, release, calls) => {
    const accounts = new Accounts();
    const one = await accounts.start('one');
    await one.publishRaw({
      channel: 'accounts.changed',
      key: 'a',
      body: Buffer.from('{"account":"a","n":7}'),
      headers: {
        ce_specversion: '1.0',
        ce_id: 'x',
        ce_source: '/x',
        ce_type: 'accounts.changed',
        'content-type': 'application/json',
        'eventing-release': release,
      },
    });
    await accounts.settle();
    expect(accounts.seen).toHaveLength(calls);
    expect(await one.letters()).toEqual([]);
    expect(one.broker.queues()).toContainEqual(expect.objectContaining({ channel: 'accounts.changed', unsettled: 0 }));
  });
});

it('events without a key, and of other keys, ask for no place', async () => {
  const { accounts, one } = await row(2);
  await one.events.sendEvent(Changed, { account: 'b', n: 5 });
  await accounts.settle();
  expect(accounts.handled).toEqual([5]);
});
