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

  it.each([
    ['rabbitmq', [], {}, 'amqp://guest:guest@localhost:5672'],
    ['rabbitmq', [], { RABBITMQ_URL: 'amqp://a:b@one:1' }, 'amqp://a:b@one:1'],
    ['amqp', [], { ARTEMIS_URL: 'amqp://a:b@two:2' }, 'amqp://a:b@two:2'],
    ['amqp', [], { ARTEMIS_URL: '' }, 'amqp://artemis:artemis@localhost:5673'],
    ['stomp', ['--url', 'stomp://a:b@three:3'], { STOMP_URL: 'stomp://four:4' }, 'stomp://a:b@three:3'],
    ['stomp', [], { STOMP_URL: 'stomp://four:4' }, 'stomp://four:4'],
    ['postgres', [], { POSTGRES_URL: 'postgres://a:b@five:5/c' }, 'postgres://a:b@five:5/c'],
    ['postgres', [], {}, 'postgres://postgres:postgres@localhost:5432/postgres'],
  ])('finds %s by flag, environment, default: %j %j', (provider, argv, env, url) => {
    expect(readFlags(['--provider', provider, ...argv], env)).toEqual({ ...DEFAULTS, provider, url });
  });

  it('keeps an embedded database where it is told to, or in the temporary folder', () => {
    const provider = 'embedded';
    expect(readFlags(['--provider', provider, '--data-dir', 'here'], {})).toEqual({
      ...DEFAULTS,
      provider,
      dataDir: 'here',
    });
    expect(readFlags(['--provider', provider], {})).toMatchObject({
      dataDir: expect.stringContaining('nestjs-eventing-quickstart') as string,
    });
  });

  it('shows no password where an address is wrong', () => {
    const wrong = (): unknown => readFlags(['--provider', 'amqp', '--url', 'amqp//me:secret@host'], {});
    expect(wrong).toThrow(expect.objectContaining({ message: expect.not.stringContaining('secret') as string }));
  });

  it('gives help', () => {
    expect(readFlags(['--help'], {})).toBe('help');
  });

  it.each([
    [['--colour'], /--colour/],
    [['story'], /story/],
    [['--provider', 'mqtt'], /"mqtt": choose memory, kafka, rabbitmq, amqp, stomp, postgres or embedded/],
    [['--provider'], /--provider/],
    [['--brokers', 'localhost:9092'], /--brokers is for --provider kafka/],
    [['--provider', 'kafka', '--brokers', 'localhost'], /"localhost" is not of the form host:port/],
    [['--url', 'amqp://localhost'], /--url is for/],
    [['--provider', 'kafka', '--url', 'amqp://localhost'], /--url is for/],
    [['--provider', 'amqp', '--url', 'localhost'], /not of the form/],
    [['--provider', 'embedded', '--url', 'postgres://localhost'], /--url is for/],
    [['--data-dir', 'here'], /--data-dir is for --provider embedded/],
    [['--json', '--serve'], /choose one/],
  ])('refuses %j', (argv, message) => {
    expect(() => readFlags(argv, {})).toThrow(UsageError);
    expect(() => readFlags(argv, {})).toThrow(message);
  });
});
