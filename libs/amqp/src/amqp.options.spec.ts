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

it('keeps options for RabbitMQ to RabbitMQ', () => {
  expect(resolveAmqpOptions({ broker: 'rabbitmq' })).toMatchObject({ broker: 'rabbitmq', addresses: 'v2' });
  for (const wrong of [{ broker: 'qpid' }, { vhost: 'tenant' }, { addresses: 'v1' }, { broker: 'rabbitmq', vhost: '' }])
    expect(() => amqp(wrong as object)).toThrow(expect.objectContaining({ code: 'EVT_INVALID_OPTIONS' }));
});

it('declares less where it cannot make queues by itself', () => {
  const create = (addresses: 'v1' | 'v2') =>
    amqp({ broker: 'rabbitmq', addresses }).create(contextOf('shop', { topology: 'check' })).abilities;
  expect(create('v2')).toMatchObject({ order: 'cluster', perProcess: true, longestDefer: 0, replay: false });
  expect(create('v1')).toMatchObject({ order: 'process', perProcess: false, longestDefer: 0 });
});
