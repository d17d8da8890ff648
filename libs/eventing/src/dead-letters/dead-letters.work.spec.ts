import { IsPositive, IsString } from 'class-validator';
import { describe, expect, it } from 'vitest';
import { Event } from '../declare/event.decorator.js';
import { EventListener } from '../declare/event-listener.decorator.js';
import type { Envelope } from '../envelope/envelope.js';
import { RejectEvent } from '../errors/eventing.error.js';
import { refusal } from '../kernel.fixture.js';
import { memory } from '../memory/memory.provider.js';
import type { DeadLetterPage, DeadLetterQuery } from '../provider/event-provider.js';
import { letterOf, ScriptedProvider } from '../scripted.provider.fixture.js';
import { TestApp } from '../test.app.fixture.js';
import { DeadLetters } from './dead-letters.js';
import type { DeadLetter } from './dead-letter.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'id' })
class OrderPlaced {
  @IsString() id!: string;
  @IsPositive() total!: number;
}
@Event({ name: 'audit', provider: 'audit', key: 'id' })
class Audited {
  id!: string;
}
class CardRefused extends Error {
  override readonly name = 'CardRefused';
}

/** One listener of the default provider and one of another; both fail as long as `broken`. */
async function shop() {
  const state = { broken: true };
  const got: Envelope[] = [];
  @EventListener(OrderPlaced, { retry: { attempts: 1 } })
  class Billing implements EventListener<OrderPlaced> {
    on({ id }: OrderPlaced, envelope: Envelope<OrderPlaced>): void {
      if (state.broken && id === 'never') throw new RejectEvent('not billable');
      if (state.broken) throw new CardRefused(`the card of ${id} was refused`);
      got.push(envelope);
    }
  }
  @EventListener(Audited, { retry: { attempts: 1 } })
  class Auditing implements EventListener<Audited> {
    on(_: Audited, envelope: Envelope<Audited>): void {
      if (state.broken) throw new TypeError('no book');
      got.push(envelope);
    }
  }
  const app = await TestApp.start({ providers: [Billing, Auditing] }, { providers: { audit: memory() } });
  const order = async (id: string, total = 5) => {
    const sent = await app.events.sendEvent(OrderPlaced, { id, total }, { headers: { tenant: 't1' } });
    await app.clock.advance(10);
    return sent;
  };
  const audit = async (id: string) => {
    await app.events.sendEvent(Audited, { id });
    await app.clock.advance(10);
  };
  return { app, state, got, order, audit };
}

const keys = (letters: readonly DeadLetter[]): (string | undefined)[] => letters.map(({ message }) => message.key);

/** Letters of a service without listeners, in a store that gives pages of what it is asked for. */
async function stored(letters: DeadLetter[], listeners: readonly (new () => object)[] = []) {
  const provider = new ScriptedProvider();
  const asked: DeadLetterQuery[] = [];
  provider.deadLetters.scan = async (query): Promise<DeadLetterPage> => {
    asked.push(query);
    const start = query.cursor === undefined ? 0 : letters.findIndex(({ id }) => id > (query.cursor as string));
    const page = start < 0 ? [] : letters.slice(start, start + query.limit);
    const last = page.at(-1);
    return start >= 0 && last !== undefined && start + page.length < letters.length
      ? { letters: page, cursor: last.id }
      : { letters: page };
  };
  Object.assign(provider.deadLetters, {
    remove: async (ids: readonly string[]) => {
      for (const id of ids) letters.splice(0, letters.length, ...letters.filter((letter) => letter.id !== id));
    },
  });
  const app = await TestApp.start({ providers: [...listeners] }, { provider: provider.factory });
  return { app, provider, asked, letters };
}

const numbered = (count: number, of: (index: number) => Partial<DeadLetter> = () => ({})): DeadLetter[] =>
  Array.from({ length: count }, (_, index) => letterOf({ id: `l${String(index).padStart(5, '0')}`, ...of(index) }));

describe('a list of dead letters', () => {
  it('goes over all providers, and tells of each letter where it was found', async () => {
    const { app, order, audit } = await shop();
    await audit('a1');
    await order('1');
    const { letters, cursor } = await app.deadLetters.list();
    expect(letters.map(({ provider, message }) => [provider, message.key])).toEqual([
      ['default', '1'],
      ['audit', 'a1'],
    ]);
    expect(cursor).toBeUndefined();
  });

  it.each([
    [{ listener: 'Billing' }, ['1', 'never', '2']],
    [{ reason: 'rejected' }, ['never']],
    [{ event: 'orders.placed' }, ['1', 'never', '2']],
    [{ event: 'audit@1' }, ['a1']],
    [{ event: 'audit@2' }, []],
    [{ error: 'CardRefused' }, ['1', '2']],
    [{ error: 'EVT_REJECTED' }, ['never']],
    [{ provider: 'audit' }, ['a1']],
    [{ text: 'CARD OF 2' }, ['2']],
    [{ text: '"total":77' }, ['2']],
    [{ text: 'no book' }, ['a1']],
    [{ text: 'T1', listener: 'Billing', reason: 'failed' }, ['1', '2']],
  ] as const)('picks by %j', async (filter, expected) => {
    const { app, order, audit } = await shop();
    await order('1');
    await order('never');
    await order('2', 77);
    await audit('a1');
    expect(keys((await app.deadLetters.list(filter)).letters)).toEqual(expected);
  });

  it('picks by the time when they were given up, both ends included', async () => {
    const { app } = await stored(numbered(5, (index) => ({ deadAt: 1000 + index })));
    const ids = async (filter: object) => (await app.deadLetters.list(filter)).letters.map(({ deadAt }) => deadAt);
    expect(await ids({ since: new Date(1001), until: 1003 })).toEqual([1001, 1002, 1003]);
    expect(await ids({ since: 1004 })).toEqual([1004]);
  });

  it('has exact pages, whatever the filter leaves out and however they lie', async () => {
    const all = numbered(1000, (index) => ({ listener: index % 7 === 0 ? 'Rare' : 'Other' }));
    const { app, asked } = await stored(all);
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await app.deadLetters.list({ listener: 'Rare' }, { limit: 10, ...(cursor ? { cursor } : {}) });
      expect(page.letters.length).toBeLessThanOrEqual(10);
      seen.push(...page.letters.map(({ id }) => id));
      cursor = page.cursor;
    } while (cursor !== undefined);
    expect(seen).toEqual(all.filter(({ listener }) => listener === 'Rare').map(({ id }) => id));
    expect(Math.max(...asked.map(({ limit }) => limit))).toBeLessThanOrEqual(200);
  });

  it('goes on at the next provider', async () => {
    const { app, order, audit } = await shop();
    for (const id of ['1', '2']) await order(id);
    for (const id of ['a1', 'a2']) await audit(id);
    const first = await app.deadLetters.list({}, { limit: 2 });
    const second = await app.deadLetters.list({}, { limit: 2, cursor: first.cursor as string });
    expect([keys(first.letters), keys(second.letters), second.cursor]).toEqual([['1', '2'], ['a1', 'a2'], undefined]);
  });

  it.each([
    [{ lisener: 'Billing' }, /there is no field lisener/],
    [{ text: '' }, /text must be text of 1 to 500/],
    [{ since: 'yesterday' }, /since must be a Date/],
    [{ reason: 'bad luck' }, /reason bad luck is none: there are failed, /],
  ])('refuses the filter %j', async (filter, message) => {
    const { app } = await shop();
    const wrong = filter as object;
    for (const call of [app.deadLetters.list(wrong), app.deadLetters.purge(wrong), app.deadLetters.redriveAll(wrong)])
      expect(await refusal(call)).toMatchObject({
        code: 'EVT_INVALID_OPTIONS',
        message: expect.stringMatching(message),
      });
  });

  it('refuses a limit or a cursor that is none', async () => {
    const { app } = await shop();
    expect(await refusal(app.deadLetters.list({}, { limit: 0 }))).toMatchObject({ code: 'EVT_INVALID_OPTIONS' });
    expect(await refusal(app.deadLetters.list({}, { cursor: 'x' }))).toMatchObject({ code: 'EVT_INVALID_OPTIONS' });
    expect(await refusal(app.deadLetters.list({ provider: 'gone' }))).toMatchObject({ code: 'EVT_UNKNOWN_PROVIDER' });
  });
});

describe('groups of dead letters', () => {
  it('count what fails alike, the most first, with the times and the last of each', async () => {
    const { app, order, audit } = await shop();
    const begin = app.clock.now();
    for (const id of ['1', 'never', '2', '3']) await order(id);
    await audit('a1');
    const { groups, letters, ungrouped } = await app.deadLetters.groups();
    expect([letters, ungrouped]).toEqual([5, 0]);
    expect(groups.map(({ listener, reason, error, count }) => [listener, reason, error, count])).toEqual([
      ['Billing', 'failed', 'CardRefused', 3],
      ['Auditing', 'failed', 'TypeError', 1],
      ['Billing', 'rejected', 'EVT_REJECTED', 1],
    ]);
    expect(groups[0]).toMatchObject({
      firstAt: begin,
      lastAt: begin + 30,
      sample: { event: 'orders.placed', message: 'the card of 3 was refused' },
    });
    expect((await app.deadLetters.groups({ reason: 'rejected' })).groups).toHaveLength(1);
  });

  it('are 1000 at most; the rest is counted', async () => {
    const { app } = await stored(numbered(1500, (index) => ({ listener: `L${index}` })));
    const { groups, letters, ungrouped } = await app.deadLetters.groups();
    expect([groups.length, letters, ungrouped]).toEqual([1000, 1500, 500]);
  });
});

describe('a dead letter that is shown', () => {
  it('has its headers as text, its envelope and its body', async () => {
    const { app, order } = await shop();
    const sent = await order('1');
    const { id } = await app.letter();
    const view = await app.deadLetters.show(id);
    expect(view).toMatchObject({
      letter: { id, provider: 'default', listener: 'Billing' },
      headers: { tenant: 't1', ce_type: 'orders.placed' },
      envelope: { source: '/shop', correlationId: sent.id, contentType: 'application/json' },
      body: { kind: 'value', value: { id: '1', total: 5 } },
      size: 20,
    });
  });

  it('is shown as far as it can be read', async () => {
    const { app } = await shop();
    const bodies = ['{"half":', Uint8Array.of(0xff, 0x00, 0xfe), '[1]'];
    for (const [index, body] of bodies.entries())
      await app.publishRaw({
        channel: 'orders',
        key: String(index),
        body: Buffer.from(body),
        headers: { raw: Uint8Array.of(0xff) },
      });
    await app.clock.advance(10);
    const shown: unknown[] = [];
    for await (const { id } of app.deadLetters.all()) {
      const { body, headers, envelope } = await app.deadLetters.show(id);
      shown.push([body, headers, envelope]);
    }
    const headers = { raw: 'base64:/w==' };
    expect(shown).toEqual([
      [{ kind: 'text', text: '{"half":' }, headers, undefined],
      [{ kind: 'bytes', base64: '/wD+' }, headers, undefined],
      [{ kind: 'value', value: [1] }, headers, undefined],
    ]);
  });

  it('is refused where there is none', async () => {
    const { app } = await shop();
    expect(await refusal(app.deadLetters.show('x'))).toMatchObject({ code: 'EVT_DEAD_LETTER_UNKNOWN' });
  });
});

describe('redriving', () => {
  it('knows by itself where a listed letter lies, or looks for its id everywhere', async () => {
    const { app, state, got, audit } = await shop();
    await audit('a1');
    await audit('a2');
    state.broken = false;
    const [first, second] = (await app.deadLetters.list()).letters;
    await app.deadLetters.redrive(first as DeadLetter);
    await app.deadLetters.redrive(second?.id as string);
    await app.clock.advance(10);
    expect(got.map(({ key }) => key)).toEqual(['a1', 'a2']);
    expect((await app.deadLetters.list()).letters).toEqual([]);
  });

  it('is refused for a listener that is not there, and the letter stays', async () => {
    @EventListener(OrderPlaced)
    class Mailing implements EventListener<OrderPlaced> {
      on(): void {}
    }
    const { app, provider, letters } = await stored(numbered(2), [Mailing]);
    const refused = await refusal(app.deadLetters.redrive('l00000'));
    expect(refused).toMatchObject({
      code: 'EVT_DEAD_LETTER_LISTENER',
      message: expect.stringContaining('of the listener "SendReceipt", which is not known here: there are Mailing.'),
    });
    const report = await app.deadLetters.redriveAll();
    expect(report).toMatchObject({ redriven: 0, failed: 2, more: false });
    expect(report.failures.map(({ error }) => error.code)).toEqual([
      'EVT_DEAD_LETTER_LISTENER',
      'EVT_DEAD_LETTER_LISTENER',
    ]);
    expect([provider.messages, letters.length]).toEqual([[], 2]);
    await app.deadLetters.redrive('l00000', { force: true });
    expect([provider.messages.map(({ to }) => to), letters.length]).toEqual([['SendReceipt'], 1]);
  });

  it('stores first and removes after: what dies in between sends the same id again', async () => {
    const { app, provider, letters } = await stored(
      numbered(1, () => ({ event: { name: 'x', version: 1, id: 'e7' } })),
    );
    const { remove } = provider.deadLetters;
    provider.deadLetters.remove = () => Promise.reject(new Error('died'));
    await expect(app.deadLetters.redrive('l00000', { force: true })).rejects.toThrow('died');
    expect(letters).toHaveLength(1);
    provider.deadLetters.remove = remove;
    await app.deadLetters.redrive('l00000', { force: true });
    expect([provider.messages.map(({ id }) => id), letters]).toEqual([['e7', 'e7'], []]);
  });
});

describe('redriving all that a filter picks', () => {
  it('sends each to its listener, once, also where it fails again', async () => {
    const { app, state, got, order, audit } = await shop();
    for (const id of ['1', '2', 'never']) await order(id);
    await audit('a1');
    expect(await app.deadLetters.redriveAll({ reason: 'failed' })).toEqual({
      redriven: 3,
      failed: 0,
      failures: [],
      more: false,
    });
    await app.clock.advance(10);
    expect((await app.deadLetters.list()).letters).toHaveLength(4);
    state.broken = false;
    await app.deadLetters.redriveAll();
    await app.clock.advance(10);
    expect(got.map(({ key }) => key).sort()).toEqual(['1', '2', 'a1', 'never']);
    expect((await app.deadLetters.list()).letters).toEqual([]);
  });

  it('goes as far as its limit, and says so', async () => {
    const { app, provider, letters } = await stored(numbered(500));
    expect(await app.deadLetters.redriveAll({}, { limit: 300, force: true })).toMatchObject({
      redriven: 300,
      more: true,
    });
    expect([provider.messages.length, letters.length]).toEqual([300, 200]);
    expect(await app.deadLetters.redriveAll({}, { limit: 200, force: true })).toMatchObject({
      redriven: 200,
      more: false,
    });
    expect(Math.max(...provider.batches.map(({ length }) => length))).toBeLessThanOrEqual(200);
  });

  it('tells of those that could not be sent; they stay', async () => {
    const { app, provider, letters } = await stored(numbered(3));
    provider.onPublish = async () => [{ index: 1, error: new Error('full'), indeterminate: false }];
    const report = await app.deadLetters.redriveAll({}, { force: true });
    expect(report).toMatchObject({
      redriven: 2,
      failed: 1,
      failures: [{ id: 'l00001', listener: 'SendReceipt', error: { code: 'EVT_PUBLISH_FAILED' } }],
    });
    expect(letters.map(({ id }) => id)).toEqual(['l00001']);
  });

  it('leaves what was given up after the call', async () => {
    const { app, letters } = await stored(numbered(2, (index) => ({ deadAt: index === 0 ? 1 : 8e15 })));
    expect(await app.deadLetters.redriveAll({}, { force: true })).toMatchObject({ redriven: 1 });
    expect(letters).toHaveLength(1);
  });
});

describe('editing', () => {
  it('sends the changed event under a new id to the one listener, with the old one as its cause', async () => {
    const { app, state, got, order } = await shop();
    const sent = await order('1');
    const { id } = await app.letter();
    state.broken = false;
    const edited = await app.deadLetters.edit(id, {
      merge: { total: 9 },
      headers: { tenant: undefined, fixed: 'yes' },
    });
    await app.clock.advance(10);
    expect(await app.letters()).toEqual([]);
    expect(got).toHaveLength(1);
    expect(got[0]).toMatchObject({
      id: edited.id,
      causationId: sent.id,
      correlationId: sent.correlationId,
      key: '1',
      body: { id: '1', total: 9 },
      attempt: 1,
    });
    expect(edited.id).not.toBe(sent.id);
    expect(got[0]?.headers.toJSON()).toEqual({ fixed: 'yes' });
  });

  it('takes a whole new body, and its key', async () => {
    const { app, state, got, order } = await shop();
    await order('1');
    state.broken = false;
    await app.deadLetters.edit((await app.letter()).id, { body: { id: 'new', total: 1 } });
    await app.clock.advance(10);
    expect(got.map(({ key, body }) => [key, body])).toEqual([['new', { id: 'new', total: 1 }]]);
  });

  it('gives the same edit of the same letter the same id, so that it can be repeated', async () => {
    const { app, order } = await shop();
    await order('1');
    const letter = await app.letter();
    const ids = [];
    for (const total of [1, 1, 2]) ids.push((await app.deadLetters.edit(letter, { merge: { total } })).id);
    expect(ids[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect([ids[1], ids[2] === ids[0]]).toEqual([ids[0], false]);
  });

  it.each([
    [
      { merge: { total: -1 } },
      'EVT_INVALID_EVENT',
      /was not edited: OrderPlaced is not valid and was not sent: .*total/,
    ],
    [{ merge: { id: null } }, 'EVT_INVALID_EVENT', /id/],
    [{ body: { id: '1', total: 5, extra: 1 } }, 'EVT_INVALID_EVENT', /extra/],
    [{ headers: { 'ce-id': 'x' } }, 'EVT_INVALID_HEADER', /reserved/],
    [{}, 'EVT_INVALID_OPTIONS', /it changes nothing/],
    [{ body: {}, merge: {} }, 'EVT_INVALID_OPTIONS', /exclude each other/],
    [{ body: [1] }, 'EVT_INVALID_OPTIONS', /body must be an object/],
  ] as const)('refuses %j, and the letter stays', async (edit, code, message) => {
    const { app, order } = await shop();
    await order('1');
    const letter = await app.letter();
    expect(await refusal(app.deadLetters.edit(letter.id, edit))).toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
    expect(await app.letter()).toEqual(letter);
  });

  it('refuses to change fields of a body that cannot be read; a whole new one is taken', async () => {
    const { app, state, got, order } = await shop();
    await order('1');
    const good = await app.letter();
    const broken = { ...good, message: { ...good.message, body: Buffer.from('{') } };
    expect(await refusal(app.deadLetters.edit(broken, { merge: { total: 1 } }))).toMatchObject({
      code: 'EVT_DEAD_LETTER_BODY',
      message: expect.stringMatching(/^The body of dead letter \S+ cannot be read: it is no application\/json/),
    });
    state.broken = false;
    await app.deadLetters.edit(broken, { body: { id: '1', total: 1 } });
    await app.clock.advance(10);
    expect(got).toHaveLength(1);
  });

  it('refuses what no class here reads', async () => {
    const { app } = await stored(numbered(1));
    expect(await refusal(app.deadLetters.edit('l00000', { body: {} }, { force: true }))).toMatchObject({
      code: 'EVT_DEAD_LETTER_BODY',
      message: expect.stringContaining('no event of the channel "orders" is known here'),
    });
  });

  it('upcasts an older version', async () => {
    const got: unknown[] = [];
    @Event({ name: 'prices', version: 2, upcast: { 1: (old) => ({ cents: Number(old['euros']) * 100 }) } })
    class Price {
      cents!: number;
    }
    @EventListener(Price, { retry: { attempts: 1 } })
    class Prices implements EventListener<Price> {
      on(price: Price, { version }: Envelope<Price>): void {
        if (price.cents === 0) throw new Error('free');
        got.push([price.cents, version]);
      }
    }
    const app = await TestApp.start({ providers: [Prices] });
    const headers = {
      ce_specversion: '1.0',
      ce_id: 'p',
      ce_source: '/old',
      ce_type: 'prices',
      'content-type': 'application/json',
    };
    await app.publishRaw({ channel: 'prices', headers, body: Buffer.from('{"euros":0}') });
    await app.clock.advance(10);
    await app.deadLetters.edit((await app.letter()).id, { merge: { cents: 7 } });
    await app.clock.advance(10);
    expect(got).toEqual([[7, 2]]);
  });
});

describe('purging', () => {
  it('throws away what the filter picks, over all providers, and tells how many', async () => {
    const { app, order, audit } = await shop();
    for (const id of ['1', 'never', '2']) await order(id);
    await audit('a1');
    expect(await app.deadLetters.purge({ reason: 'failed' })).toBe(3);
    expect(keys((await app.deadLetters.list()).letters)).toEqual(['never']);
    expect(await app.deadLetters.purge({}, ({ message }) => message.key === 'never')).toBe(0);
    expect(await app.deadLetters.purge({})).toBe(1);
  });

  it('takes pages of any number', async () => {
    const { app, letters } = await stored(numbered(950, (index) => ({ listener: index % 3 === 0 ? 'A' : 'B' })));
    expect(await app.deadLetters.purge({ listener: 'A' })).toBe(317);
    expect(letters.every(({ listener }) => listener === 'B')).toBe(true);
  });
});

it('DeadLetters is what is injected', async () => {
  const { app } = await shop();
  expect(app.module.get(DeadLetters)).toBe(app.runtime.deadLetters);
});
