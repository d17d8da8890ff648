import { expect, it } from 'vitest';
import { contextOf } from './amqp.fixture.js';
import { amqp } from './amqp.provider.js';
import { resolveAmqpOptions } from './amqp.options.js';

it('needs no options for a broker on this machine', () => {
  expect(resolveAmqpOptions({})).toMatchObject({ host: 'localhost', port: 5672, tls: undefined });
  expect(resolveAmqpOptions({ tls: true })).toMatchObject({ port: 5671, tls: {} });
});

it('names each fault of its options at once, and no secret', () => {
  const wrong = { host: 'amqp://me:secret@host', port: 0, username: 'me', settleInterval: Number.NaN, idletimeout: 5 };
  const make = (): unknown => amqp(wrong);
  expect(make).toThrow(expect.objectContaining({ code: 'EVT_INVALID_OPTIONS' }));
  for (const name of ['host', 'port', 'password', 'settleInterval', 'idletimeout']) expect(make).toThrow(`\`${name}\``);
  expect(make).not.toThrow('secret');
});

it('declares what it can do before it connects', () => {
  const { abilities } = amqp().create(contextOf('shop'));
  expect(abilities).toMatchObject({ order: 'cluster', durable: true, groups: true, perProcess: true, replay: false });
  expect(abilities.largestMessage).toBe(8 * 1024 * 1024);
});
