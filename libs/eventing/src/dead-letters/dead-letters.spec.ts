import { describe, expect, it } from 'vitest';
import { Event } from '../declare/event.decorator.js';
import { EventListener } from '../declare/event-listener.decorator.js';
import type { Envelope } from '../envelope/envelope.js';
import { refusal } from '../kernel.fixture.js';
import { ce, letterOf, ScriptedProvider } from '../scripted.provider.fixture.js';
import { TestApp } from '../test.app.fixture.js';
import { memory } from '../memory/memory.provider.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'id' })
class OrderPlaced {
  id!: string;
}
@Event({ name: 'audit', provider: 'audit' })
class Audited {}

/** Two listeners of one event; the first fails as long as `broken`. */
async function shop() {
  const state = { broken: true };
  const got: [listener: string, id: string, attempt: number, event: string, tenant: string | undefined][] = [];
  @EventListener(OrderPlaced, { retry: { attempts: 1 } })
  class Billing implements EventListener<OrderPlaced> {
    on(event: OrderPlaced, { id, attempt, headers }: Envelope<OrderPlaced>): void {
      got.push(['Billing', event.id, attempt, id, headers.get('tenant')]);
      if (state.broken) throw new Error('the card was refused');
    }
  }
  @EventListener(OrderPlaced)
  class Mailing implements EventListener<OrderPlaced> {
    on(event: OrderPlaced, { id, attempt, headers }: Envelope<OrderPlaced>): void {
      got.push(['Mailing', event.id, attempt, id, headers.get('tenant')]);
    }
  }
  const app = await TestApp.start({ providers: [Billing, Mailing] });
  const send = async (id: string): Promise<Envelope<OrderPlaced>> => {
    const envelope = await app.events.sendEvent(OrderPlaced, { id }, { headers: { tenant: 't' } });
    await app.idle();
    return envelope;
  };
  return { app, got, state, send };
}

describe('scanning dead letters', () => {
  it('gives pages, oldest first, and takes nothing away', async () => {
    const { app, send } = await shop();
    for (const id of ['1', '2', '3', '4', '5']) await send(id);
    const ids = (
      letters: readonly { readonly message: { readonly key: string | undefined } }[],
    ): (string | undefined)[] => letters.map(({ message }) => message.key);
    const first = await app.deadLetters.scan({ limit: 2 });
    const second = await app.deadLetters.scan({ limit: 2, cursor: first.cursor as string });
    const third = await app.deadLetters.scan({ limit: 2, cursor: second.cursor as string });
    expect([ids(first.letters), ids(second.letters), ids(third.letters)]).toEqual([['1', '2'], ['3', '4'], ['5']]);
    expect(third.cursor).toBeUndefined();
    expect(ids(await app.letters())).toEqual(['1', '2', '3', '4', '5']);
  });

  it('goes through all of them, page by page, also while they are removed', async () => {
    const { app, send } = await shop();
    for (const id of ['1', '2', '3', '4', '5']) await send(id);
    const seen: (string | undefined)[] = [];
    for await (const letter of app.deadLetters.all()) {
      seen.push(letter.message.key);
      await app.deadLetters.remove([letter.id]);
    }
    expect(seen).toEqual(['1', '2', '3', '4', '5']);
    expect(await app.letters()).toEqual([]);
  });

  it('can be of one subscription: a page may then be short, or empty, and still not the last', async () => {
    const provider = new ScriptedProvider();
    const others = [letterOf({ id: 'l1', listener: 'Other' }), letterOf({ id: 'l2', listener: 'Other' })];
    const own = [letterOf({ id: 'l3', listener: 'Billing' })];
    provider.deadLetters.scan = ({ cursor }) =>
      Promise.resolve(cursor === 'next' ? { letters: own } : { letters: others, cursor: 'next' });
    const app = await TestApp.start({}, { provider: provider.factory });
    expect(await app.deadLetters.scan({ listener: 'Billing' })).toEqual({ letters: [], cursor: 'next' });
    const found: string[] = [];
    for await (const letter of app.deadLetters.all({ listener: 'Billing' })) found.push(letter.id);
    expect(found).toEqual(['l3']);
  });

  it.each([
    [undefined, 100],
    [0, 1],
    [-5, 1],
    [7, 7],
    [5000, 1000],
  ])('looks at %s letters as %s', async (limit, asked) => {
    const provider = new ScriptedProvider();
    const seen: number[] = [];
    provider.deadLetters.scan = (query) => {
      seen.push(query.limit);
      return Promise.resolve({ letters: [] });
    };
    const app = await TestApp.start({}, { provider: provider.factory });
    await app.deadLetters.scan(limit === undefined ? {} : { limit });
    expect(seen).toEqual([asked]);
  });

  it('connects, where nobody has sent or listened yet', async () => {
    const provider = new ScriptedProvider();
    const app = await TestApp.start({}, { provider: provider.factory });
    await app.deadLetters.scan();
    expect(provider.journal).toEqual(['start ']);
  });
});

describe('redriving a dead letter', () => {
  it('sends bytes and headers as they were, to its one listener, and takes it out of the store', async () => {
    const { app, got, state, send } = await shop();
    const { id } = await send('1');
    expect(got.map(([listener]) => listener).sort()).toEqual(['Billing', 'Mailing']);
    const letter = await app.letter();
    got.length = 0;
    state.broken = false;
    expect(await app.deadLetters.redrive(letter)).toBe(letter);
    await app.idle();
    expect(got).toEqual([['Billing', '1', 1, id, 't']]);
    expect(await app.letters()).toEqual([]);
  });

  it('finds it by its id, on any page', async () => {
    const { app, got, state, send } = await shop();
    for (const id of ['1', '2', '3']) await send(id);
    const letter = (await app.letters())[1];
    got.length = 0;
    state.broken = false;
    expect(await app.deadLetters.redrive(letter?.id as string)).toEqual(letter);
    await app.idle();
    expect(got.map(([listener, order]) => [listener, order])).toEqual([['Billing', '2']]);
    expect((await app.letters()).map(({ message }) => message.key)).toEqual(['1', '3']);
  });

  it('makes it a new letter if it fails again', async () => {
    const { app, send } = await shop();
    const { id } = await send('1');
    const before = await app.letter();
    await app.deadLetters.redrive(before);
    await app.idle();
    const after = await app.letter();
    expect(after.id).not.toBe(before.id);
    expect(after).toMatchObject({
      listener: 'Billing',
      event: { id },
      message: { body: before.message.body, headers: before.message.headers },
    });
  });

  it('gives back what could not be read, once somebody can read it', async () => {
    const { app, send } = await shop();
    await app.publishRaw({ channel: 'orders', headers: ce('orders.placed'), body: Buffer.from('{') });
    await app.idle();
    const letters = await app.letters();
    expect(letters.map(({ listener, reason }) => [listener, reason]).sort()).toEqual([
      ['Billing', 'undecodable'],
      ['Mailing', 'undecodable'],
    ]);
    for (const letter of letters) await app.deadLetters.redrive(letter);
    await app.idle();
    expect((await app.letters()).map(({ message }) => String(message.body))).toEqual(['{', '{']);
    await send('1');
  });

  it('refuses an id that no letter has', async () => {
    const { app, send } = await shop();
    await send('1');
    const { id } = await app.letter();
    await app.deadLetters.remove([id]);
    expect(await refusal(app.deadLetters.redrive(id))).toMatchObject({
      code: 'EVT_DEAD_LETTER_UNKNOWN',
      message: `There is no dead letter "${id}": it was redriven or removed.`,
    });
  });

  it('keeps the letter where it cannot be published, and says why', async () => {
    const { app, send } = await shop();
    await send('1');
    const letter = await app.letter();
    app.broker.faults.rejectNext(1);
    expect(await refusal(app.deadLetters.redrive(letter))).toMatchObject({
      code: 'EVT_PUBLISH_FAILED',
      message: expect.stringContaining(`Dead letter ${letter.id} was not redriven to Billing: `),
      indeterminate: false,
    });
    expect(await app.letter()).toEqual(letter);
    app.broker.faults.loseConfirmNext(1);
    expect(await refusal(app.deadLetters.redrive(letter))).toMatchObject({
      code: 'EVT_PUBLISH_TIMEOUT',
      indeterminate: true,
    });
    expect(await app.letters()).toContainEqual(letter);
  });

  it('asks the provider that is named, and refuses one that is not there', async () => {
    const app = await TestApp.start({}, { providers: { audit: memory() } });
    await app.events.sendEvent(Audited, {});
    expect((await app.deadLetters.scan({ provider: 'audit' })).letters).toEqual([]);
    const unknown = {
      code: 'EVT_UNKNOWN_PROVIDER',
      message: 'There is no provider "metrics": configured are default, audit.',
    };
    expect(await refusal(app.deadLetters.scan({ provider: 'metrics' }))).toMatchObject(unknown);
    expect(await refusal(app.deadLetters.redrive('x', 'metrics'))).toMatchObject(unknown);
    expect(await refusal(app.deadLetters.remove(['x'], 'metrics'))).toMatchObject(unknown);
  });
});

describe('removing dead letters', () => {
  it('throws away those named, and passes over those that are not there', async () => {
    const { app, send } = await shop();
    for (const id of ['1', '2']) await send(id);
    const [first, second] = await app.letters();
    await app.deadLetters.remove([first?.id as string, 'never there']);
    expect(await app.letters()).toEqual([second]);
  });
});

describe('after the end', () => {
  it('dead letters are refused: nothing is opened again', async () => {
    const provider = new ScriptedProvider();
    const app = await TestApp.start({}, { provider: provider.factory });
    await app.module.close();
    expect(await refusal(app.deadLetters.scan())).toMatchObject({ code: 'EVT_NOT_RUNNING' });
    expect(provider.journal).toEqual(['stop']);
  });
});
