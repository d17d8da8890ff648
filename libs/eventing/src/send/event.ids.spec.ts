import { describe, expect, it } from 'vitest';
import { derivedId, EventIds } from './event.ids.js';

describe('the id of an event', () => {
  // Several times what is drawn at once.
  const source = new EventIds();
  const ids = Array.from({ length: 1_000 }, () => source.next());

  it('is a UUID of version 4', () => {
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  it('is never the same twice', () => {
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('uses every digit in every place that is free', () => {
    const digits = (place: number): string => [...new Set(ids.map((id) => id[place]))].sort().join('');
    for (let place = 0; place < 36; place++) {
      if ([8, 13, 18, 23].includes(place)) expect(digits(place)).toBe('-');
      else if (place === 14) expect(digits(place)).toBe('4');
      else expect(digits(place)).toBe(place === 19 ? '89ab' : '0123456789abcdef');
    }
  });
});

describe('a derived id', () => {
  it('is the same for the same parts, in whatever process', () => {
    expect(derivedId('/shop', 'e1', 'shop.Receipt', 0)).toBe('408647b8-9a20-8ffc-8fb0-b39c682d4800');
  });

  it('is another one for other parts, and for the same text in other parts', () => {
    const ids = [
      derivedId('/shop', 'e1', 'shop.Receipt', 0),
      derivedId('/shop', 'e1', 'shop.Receipt', 1),
      derivedId('/shop', 'e2', 'shop.Receipt', 0),
      derivedId('/shop', 'e1', 'shop.Stock', 0),
      derivedId('/sho', 'pe1', 'shop.Receipt', 0),
      derivedId('/shop","e1', 'shop.Receipt', 0),
      derivedId('/shop', 'e1', 'shop.Receipt', '0'),
    ];
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });
});
