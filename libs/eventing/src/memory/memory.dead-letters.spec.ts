import { describe, expect, it } from 'vitest';
import type { DeadLetter } from '../dead-letters/dead-letter.js';
import type { DeadLetterStore } from '../provider/event-provider.js';
import { World } from './memory.fixture.js';

function letter(id: string): DeadLetter {
  return {
    id,
    service: 'shop',
    listener: 'Receipt',
    channel: 'orders',
    reason: 'failed',
    error: { name: 'Error', message: 'no' },
    attempts: 1,
    firstFailedAt: 1,
    deadAt: 1,
    message: { key: undefined, headers: {}, body: new Uint8Array(), time: 1, position: '0@0' },
  };
}

async function ids(store: DeadLetterStore, limit = 100, cursor?: string): Promise<string[]> {
  const page = await store.scan(cursor === undefined ? { limit } : { limit, cursor });
  return page.letters.map(({ id }) => id);
}

describe('dead letters', () => {
  it('are there once for each id, oldest first, and stay when they are read', async () => {
    const { broker } = new World();
    const store = broker.deadLetters('shop');
    for (const id of ['b', 'a', 'b', 'c']) await store.append(letter(id));
    expect(await ids(store)).toEqual(['b', 'a', 'c']);
    expect(await ids(store)).toEqual(['b', 'a', 'c']);
    expect(await ids(broker.deadLetters('mail'))).toEqual([]);
  });

  it('are read page by page, and a page misses nothing when others were removed meanwhile', async () => {
    const store = new World().broker.deadLetters('shop');
    for (const id of 'abcdefg') await store.append(letter(id));
    const first = await store.scan({ limit: 3 });
    expect(first.letters.map(({ id }) => id)).toEqual(['a', 'b', 'c']);
    await store.remove(['a', 'c', 'd', 'nobody']);
    await store.append(letter('h'));
    const second = await store.scan({ limit: 3, cursor: first.cursor! });
    expect(second.letters.map(({ id }) => id)).toEqual(['e', 'f', 'g']);
    const third = await store.scan({ limit: 3, cursor: second.cursor! });
    expect(third.letters.map(({ id }) => id)).toEqual(['h']);
    expect(third.cursor).toBeUndefined();
  });

  it('can be appended again once removed', async () => {
    const store = new World().broker.deadLetters('shop');
    await store.append(letter('a'));
    await store.remove(['a']);
    await store.append(letter('a'));
    expect(await ids(store)).toEqual(['a']);
  });

  it('are refused beyond the capacity, by name', async () => {
    const store = new World({ deadLetterCapacity: 1 }).broker.deadLetters('shop');
    await store.append(letter('a'));
    await store.append(letter('a'));
    await expect(store.append(letter('b'))).rejects.toMatchObject({
      code: 'EVT_DEAD_LETTER_FAILED',
      message: /1 dead letters of service "shop".*deadLetterCapacity/,
    });
  });

  it('are not read with a cursor of something else', async () => {
    const store = new World().broker.deadLetters('shop');
    await expect(store.scan({ limit: 1, cursor: 'x' })).rejects.toMatchObject({ code: 'EVT_INVALID_OPTIONS' });
  });
});
