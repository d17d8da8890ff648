import { describe, expect, it } from 'vitest';
import { readFlags, UsageError } from './cli.js';

const DEFAULTS = { provider: 'memory', json: false, serve: false, verbose: false };

describe('the command line of the quickstart', () => {
  it('stays in memory unless told otherwise', () => {
    expect(readFlags([], { KAFKA_BROKERS: 'elsewhere:9092' })).toEqual(DEFAULTS);
  });

  it.each([
    [['--brokers', 'one:1,two:2'], { KAFKA_BROKERS: 'three:3' }, ['one:1', 'two:2']],
    [[], { KAFKA_BROKERS: 'three:3' }, ['three:3']],
    [[], { KAFKA_BROKERS: '' }, ['localhost:9092']],
    [[], {}, ['localhost:9092']],
  ])('finds Kafka by flag, environment, default: %j %j', (argv, env, brokers) => {
    expect(readFlags(['--provider', 'kafka', ...argv], env)).toEqual({ ...DEFAULTS, provider: 'kafka', brokers });
  });

  it('gives help', () => {
    expect(readFlags(['--help'], {})).toBe('help');
  });

  it.each([
    [['--colour'], /--colour/],
    [['story'], /story/],
    [['--provider', 'mqtt'], /"mqtt": choose memory or kafka/],
    [['--provider'], /--provider/],
    [['--brokers', 'localhost:9092'], /--brokers is for --provider kafka/],
    [['--provider', 'kafka', '--brokers', 'localhost'], /"localhost" is not of the form host:port/],
    [['--json', '--serve'], /choose one/],
  ])('refuses %j', (argv, message) => {
    expect(() => readFlags(argv, {})).toThrow(UsageError);
    expect(() => readFlags(argv, {})).toThrow(message);
  });
});
