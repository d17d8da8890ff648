import { describe, expect, it } from 'vitest';
import { contextOf } from './kafka.fixture.js';
import { parseAddress, resolveKafkaOptions } from './kafka.options.js';
import { kafka } from './kafka.provider.js';

describe('the options of kafka()', () => {
  it('need nothing but addresses', () => {
    const options = resolveKafkaOptions({ brokers: ['localhost:9092'] });
    expect(options).toMatchObject({ partitions: 6, replicationFactor: -1, commitInterval: 200, ssl: undefined });
    expect(resolveKafkaOptions({ brokers: ['a:1'], ssl: true }).ssl).toEqual({});
  });

  it('are checked all at once, naming each fault', () => {
    const wrong = (): unknown =>
      kafka({
        brokers: ['localhost'],
        partitions: 0,
        heartbeatInterval: 20_000,
        fetchWait: Number.NaN,
        livenessTimeout: 5,
      });
    expect(wrong).toThrow(expect.objectContaining({ code: 'EVT_INVALID_OPTIONS' }));
    for (const name of ['brokers', 'partitions', 'heartbeatInterval', 'fetchWait', 'livenessTimeout'])
      expect(wrong).toThrow(`\`${name}\``);
    const misspelled = { brokers: ['a:1'], heartBeatInterval: 5 };
    expect(() => kafka(misspelled)).toThrow('there is no option `heartBeatInterval`');
    expect(() => kafka({ brokers: [] })).toThrow('`brokers`');
    expect(() => kafka({ brokers: ['a:1'], replicationFactor: 0 })).toThrow('`replicationFactor`');
  });

  it('name hosts and addresses of both families', () => {
    expect(parseAddress('kafka-1.example.com:9092')).toEqual({ host: 'kafka-1.example.com', port: 9092 });
    expect(parseAddress('[::1]:9092')).toEqual({ host: '::1', port: 9092 });
    for (const bad of ['', 'a', 'a:', ':1', 'a:0', 'a:70000', 'http://a:1', 'a:1:2'])
      expect(parseAddress(bad)).toBeUndefined();
  });

  it('decide the abilities, before any connection', () => {
    const provider = kafka({ brokers: ['localhost:1'], maxMessageBytes: 2_000_000 }).create(contextOf('shop'));
    expect(provider.abilities).toMatchObject({
      order: 'cluster',
      durable: true,
      groups: true,
      perProcess: true,
      replay: true,
    });
    expect(provider.abilities.largestMessage).toBe(2_000_000 - 16_384);
    expect(provider.binding).toMatchObject({ attributePrefix: 'ce_', contentTypeHeader: 'content-type' });
  });
});
