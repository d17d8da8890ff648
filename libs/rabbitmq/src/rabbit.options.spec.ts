import { describe, expect, it } from 'vitest';
import { contextOf } from './rabbit.fixture.js';
import { resolveRabbitOptions } from './rabbit.options.js';
import { rabbitmq } from './rabbit.provider.js';

describe('the options of rabbitmq()', () => {
  it('need nothing for a broker on this machine', () => {
    const { servers, tls, partitions } = resolveRabbitOptions({});
    expect(servers).toEqual([{ host: 'localhost', port: 5672, username: 'guest', password: 'guest', vhost: '/', secure: false }]); // prettier-ignore
    expect([tls, partitions]).toEqual([undefined, 1]);
  });

  it('are one url, or several of a cluster', () => {
    const urls = ['amqps://u%40x:p%2Fw@one.example/a%2Fb', 'amqps://[::1]:1234'];
    const { servers, tls } = resolveRabbitOptions({ url: urls });
    expect(servers).toEqual([
      { host: 'one.example', port: 5671, username: 'u@x', password: 'p/w', vhost: 'a/b', secure: true },
      { host: '::1', port: 1234, username: 'guest', password: 'guest', vhost: '/', secure: true },
    ]);
    expect(tls).toEqual({});
    expect(resolveRabbitOptions({ tls: true }).servers[0]).toMatchObject({ port: 5671, secure: true });
  });

  it('are checked all at once, naming each fault, and no secret', () => {
    const misspelled = { prefech: 5 };
    const wrong = (): unknown =>
      rabbitmq({
        url: ['http://u:secret@x', 'amqp://a:secret@b'],
        host: 'y',
        partitions: 0,
        heartbeat: 1_500,
        channels: { orders: { queue: '' } },
        queueArguments: { 'x-queue-type': 'stream' },
        ...misspelled,
      });
    expect(wrong).toThrow(expect.objectContaining({ code: 'EVT_INVALID_OPTIONS' }));
    for (const name of ['url', 'host', 'partitions', 'heartbeat', 'channels.orders.queue', 'queueArguments', 'prefech'])
      expect(wrong).toThrow(`\`${name}\``);
    expect(wrong).not.toThrow('secret');
    expect(() => rabbitmq({ url: [] })).toThrow('`url`');
    expect(() => rabbitmq({ url: 'amqps://a', tls: false })).toThrow('`tls: false`');
    expect(() => rabbitmq({ port: 0, host: '' })).toThrow('`host` must be text; `port`');
  });

  it('decide the abilities, before any connection', () => {
    const provider = rabbitmq({ maxMessageBytes: 2_000_000 }).create(contextOf('shop'));
    expect(provider.abilities).toMatchObject({ order: 'cluster', durable: true, groups: true, perProcess: true });
    expect(provider.abilities).toMatchObject({ replay: false, transactions: false, largestMessage: 2_000_000 });
    expect(provider.binding).toMatchObject({ attributePrefix: 'cloudEvents:', contentTypeHeader: 'content-type' });
  });
});
