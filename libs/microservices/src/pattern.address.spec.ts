import { describe, expect, it } from 'vitest';
import { refusalOf } from '../../eventing/src/kernel.fixture.js';
import { addressOf, routeOf } from './pattern.address.js';

describe('the route of a pattern', () => {
  it.each([
    ['orders.placed', 'orders.placed'],
    [7, '7'],
    [{ b: 'x', a: { d: 2, c: 'y' } }, '{"a":{"c":"y","d":2},"b":"x"}'],
  ])("is Nest's normal form: %j", (pattern, route) => {
    expect(routeOf(pattern)).toBe(route);
  });

  it.each([[/a/], [undefined], [null], [true], [Symbol('a')]])('cannot be made of %s', (pattern) => {
    expect(refusalOf(() => routeOf(pattern)).code).toBe('EVT_INVALID_PATTERN');
  });
});

describe('the address of a route', () => {
  it('is the route itself where it can be a name', () => {
    expect(addressOf('orders.placed-v1_x')).toBe('orders.placed-v1_x');
  });

  it('is its words and a hash elsewhere: the same each time, and another for another route', () => {
    expect(addressOf('{"cmd":"sum"}')).toBe(addressOf('{"cmd":"sum"}'));
    expect(addressOf('{"cmd":"sum"}')).toMatch(/^cmd-sum-[0-9a-f]{12}$/);
    expect(addressOf('{"cmd.sum"}')).not.toBe(addressOf('{"cmd-sum"}'));
    expect(addressOf('–')).toMatch(/^pattern-[0-9a-f]{12}$/);
  });

  it.each(['x'.repeat(5_000), '{"a":"' + '-'.repeat(400) + '"}', ' ', '', '../etc', 'ünï'])(
    'is a name for %s',
    (route) => {
      expect(addressOf(route)).toMatch(/^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/);
    },
  );
});
