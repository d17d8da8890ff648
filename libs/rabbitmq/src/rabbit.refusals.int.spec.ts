import { EventingError, EventingRuntime, Event, resolveOptions } from 'nestjs-eventing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type RabbitMqBroker, startOwnRabbitMq } from '../../../test/brokers/brokers.js';
import { acceptAll, contextOf, message, numbers, TestService, until } from './rabbit.fixture.js';
import { rabbitmq } from './rabbit.provider.js';

const READER = { username: 'reader', password: 'reader-secret', read: '.*' };
const NEARLY = {
  username: 'nearly',
  password: 'nearly-secret',
  configure: '.*',
  read: '.*',
  write: '^(?!.*forbidden)',
};
const CHANGED = { username: 'changed', password: 'changed-secret', configure: '.*', read: '.*', write: '.*' };

describe('what RabbitMQ refuses', () => {
  let rabbit: RabbitMqBroker | undefined;
  let service: TestService;
  let channel: string;
  beforeAll(async () => {
    const had = await startOwnRabbitMq({ users: [READER, NEARLY, CHANGED] });
    if (had.available) rabbit = had;
  }, 120_000);
  beforeEach(({ skip }) => {
    skip(rabbit === undefined, 'no RabbitMQ');
    service = new TestService(own().access);
    ({ channel } = service);
  });
  afterEach(() => service?.stop());
  afterAll(() => rabbit?.close());

  function own(): RabbitMqBroker {
    if (rabbit === undefined) throw new Error('The test should have been skipped.');
    return rabbit;
  }

  async function refusal(work: Promise<unknown>): Promise<EventingError> {
    const error = await work.then(() => undefined, (thrown: unknown) => thrown); // prettier-ignore
    if (!(error instanceof EventingError)) throw new Error(`It gave ${String(error)}`, { cause: error });
    expect(`${error.message} ${String(error.cause)}`).not.toContain('secret');
    return error;
  }

  it('is a wrong password, at once and without another attempt', async () => {
    const shop = await service.process({ password: 'wrong-secret' });
    const error = await refusal(shop.start(channel));
    expect(error.code).toBe('EVT_AUTHENTICATION');
    expect(error.message).toContain('password');
    expect(shop.proxy.attempts).toBe(1);
  });

  it('is a password that was changed, with long pauses, until it is right again', async () => {
    const { username, password } = CHANGED;
    const shop = await service.started({ username, password });
    await shop.subscribe('Receipt', channel);
    await own().control('change_password', username, 'other-secret');
    const before = shop.proxy.attempts;
    shop.proxy.reset();
    await until('it is told', () => shop.context.statuses.at(-1) === 'disconnected');
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    // Two connections, each at most once at first and once more after seconds.
    expect(shop.proxy.attempts - before).toBeLessThanOrEqual(4);
    expect(shop.context.lines.filter((line) => line.includes('EVT_'))).toHaveLength(1);
    await own().control('change_password', username, password);
    await until('it works again', () => shop.context.statuses.at(-1) === 'connected');
    await shop.publish(channel, ['a']);
  });

  it('is a virtual host that is not there', async () => {
    const shop = await service.process({ vhost: 'nowhere' });
    const error = await refusal(shop.start(channel));
    expect(error).toMatchObject({ code: 'EVT_AUTHENTICATION', message: expect.stringContaining('`vhost`') });
    expect(shop.proxy.attempts).toBeLessThanOrEqual(3);
  });

  it('is a user who may not create what is missing', async () => {
    const { username, password } = READER;
    const shop = await service.process({ username, password });
    const error = await refusal(shop.start(channel));
    expect(error).toMatchObject({ code: 'EVT_AUTHENTICATION', message: expect.stringContaining(channel) });
    expect(error.message).toContain('Give this user the right');
    expect(shop.proxy.attempts).toBe(1);
  });

  it('is what a user may not send, alone, and nothing else of the batch', async () => {
    const { username, password } = NEARLY;
    const forbidden = `${channel}.forbidden`;
    const shop = await (await service.process({ username, password })).start(channel, forbidden);
    const received = await shop.subscribe('Receipt', channel);
    const texts = numbers(20);
    const failures = await shop.provider.publish(
      texts.map((text) => message(Number(text) % 5 === 3 ? forbidden : channel, { text, key: 'k' })),
    );
    expect(failures.map(({ index }) => index).sort((a, b) => a - b)).toEqual([3, 8, 13, 18]);
    for (const { error, indeterminate } of failures) {
      expect(error).toMatchObject({ code: 'EVT_AUTHENTICATION', message: expect.stringContaining(forbidden) });
      expect(indeterminate).toBe(false);
    }
    const sent = texts.filter((text) => Number(text) % 5 !== 3);
    await until('the others arrive', () => new Set(received.texts).size === sent.length);
    expect([...new Set(received.texts)]).toEqual(sent);
  });

  it('is a message that is larger than it takes, alone', async () => {
    await own().control('eval', 'application:set_env(rabbit, max_message_size, 200000), persistent_term:put(max_message_size, 200000).'); // prettier-ignore
    try {
      const shop = await service.started();
      const received = await shop.subscribe('Receipt', channel);
      const failures = await shop.provider.publish([
        message(channel, { text: 'a' }),
        { ...message(channel), body: Buffer.alloc(300_000) },
        message(channel, { text: 'b' }),
      ]);
      expect(failures).toMatchObject([{ index: 1, indeterminate: false, error: { code: 'EVT_BODY_TOO_LARGE' } }]);
      await until('the others arrive', () => new Set(received.texts).size === 2);
    } finally {
      await own().control('eval', 'application:set_env(rabbit, max_message_size, 134217728), persistent_term:put(max_message_size, 134217728).'); // prettier-ignore
    }
  });

  it('is, under topology: check, each thing that is missing, by name', async () => {
    const strict = { topology: 'check' } as const;
    const start = async (): Promise<unknown> => (await service.process({}, strict)).start(channel);
    const missing = await refusal(start());
    expect(missing).toMatchObject({ code: 'EVT_TOPOLOGY', message: expect.stringContaining(`exchange ${channel}`) });
    const maker = await service.started();
    await (await maker.subscribe('Receipt', channel)).handle?.stop();
    const shop = await service.started({}, strict);
    const noStream = await refusal(shop.subscribe('Receipt', channel));
    expect(noStream).toMatchObject({ code: 'EVT_TOPOLOGY', message: expect.stringContaining('dead-letters') });
    // A channel that was not named at the start.
    const [failure] = await shop.provider.publish([message(`${channel}.other`)]);
    expect(failure).toMatchObject({ indeterminate: false, error: { code: 'EVT_TOPOLOGY' } });
    const cache = await shop.subscribe('Cache', channel, acceptAll, { perProcess: true });
    await shop.publish(channel, ['a']);
    await until('it arrives', () => cache.texts.length === 1);
  });

  it('is a queue that exists with other arguments, with what to do', async () => {
    await service.byHand((amqp) => amqp.assertQueue(service.queue('Receipt'), { durable: true }));
    const shop = await service.started();
    const error = await refusal(shop.subscribe('Receipt', channel));
    expect(error.code).toBe('EVT_TOPOLOGY');
    for (const part of ['exists with another `x-', service.queue('Receipt'), 'delete it'])
      expect(error.message).toContain(part);

    await (await shop.subscribe('Stock', channel)).handle?.stop();
    const changed = await refusal(shop.subscribe('Stock', channel, acceptAll, { ordered: false }));
    expect(changed.message).toContain('`x-single-active-consumer`');
    await service.byHand((amqp) => amqp.assertExchange(`${channel}.theirs`, 'direct'));
    const other = await refusal((await service.process()).start(`${channel}.theirs`));
    expect(other).toMatchObject({ code: 'EVT_TOPOLOGY', message: expect.stringContaining('`type`') });
  });

  it('is noticed later, too, and mended without a storm of attempts', async () => {
    const shop = await service.started();
    const received = await shop.subscribe('Receipt', channel);
    const queue = service.queue('Receipt');
    await service
      .byHand(async (amqp) => {
        await amqp.deleteQueue(queue);
        await amqp.assertQueue(queue, { durable: true });
      })
      .catch(() => undefined);
    const told = (): string[] => shop.context.lines.filter((line) => line.includes('is not read for now'));
    await until('it is told', () => told().some((line) => line.includes('x-queue-type')) || received.texts.length > 0, 5_000).catch(() => undefined); // prettier-ignore
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(told().length).toBeLessThanOrEqual(2);
    await service.byHand((amqp) => amqp.deleteQueue(queue));
    await until('it is read again', async () => {
      await shop.publish(channel, ['a']);
      return received.texts.length > 0;
    });
  });

  it('is nothing of what others may send: it becomes dead letters, as it came, and the rest is handled', async () => {
    @Event({ name: 'placed', channel: `${service.name}.placed` })
    class Placed {
      n!: number;
    }
    const handled: number[] = [];
    const { username, password, host, port } = own().access;
    const { logger } = contextOf(service.name);
    const runtime = new EventingRuntime(
      resolveOptions({ service: service.name, provider: rabbitmq({ host, port, username, password }), logger }, logger),
      (registry) => ({
        pipelines: [],
        problems: [],
        listeners: [{ label: 'Receipt', events: [registry.describe(Placed)], options: {}, invoke: (event) => void handled.push((event as Placed).n) }], // prettier-ignore
      }),
    );
    await runtime.start();
    const event = { 'cloudEvents:specversion': '1.0', 'cloudEvents:id': '1', 'cloudEvents:source': '/x', 'cloudEvents:type': 'placed' }; // prettier-ignore
    const every = {
      ...event,
      n: 1.5,
      t: { '!': 'timestamp', value: 1 },
      l: [1, { a: Buffer.from([255]) }],
      v: null,
      d: { '!': 'decimal', value: { places: 2, digits: 5 } },
      big: { '!': 'int64', value: 2 ** 53 },
      __proto__: { x: 1 },
    };
    const strange: [Buffer, object][] = [
      [Buffer.from('no content type'), {}],
      [Buffer.from('text'), { contentType: 'text/plain', type: 'x', replyTo: 'y', expiration: '60000', priority: 3 }],
      [Buffer.alloc(0), { contentType: 'application/json', headers: event }],
      [Buffer.from([0, 255, 128]), { contentType: 'application/json', headers: event, contentEncoding: 'gzip' }],
      [Buffer.from('[1,2'), { contentType: 'application/json', headers: every }],
      [
        Buffer.from('{"n":1}'),
        { contentType: 'application/json', headers: { ...event, 'cloudEvents:specversion': 7 } },
      ],
      [Buffer.from('many'), { headers: Object.fromEntries(numbers(2_000).map((n) => [`x-${n}`, n])) }],
      [Buffer.alloc(64 * 1024 * 1024, 7), { contentType: 'application/json', headers: event }],
    ];
    try {
      await service.byHand(async (amqp) => {
        // Odd, and none the less readable.
        const odd = { ...event, 'eventing-ref': 'x', 'eventing-not-before': 'y', 'eventing-attempt': 'z' };
        amqp.publish(`${service.name}.placed`, '', Buffer.from('{"n":1}'), { headers: odd, contentType: 'a/b' });
        for (const [body, options] of strange) amqp.publish(`${service.name}.placed`, 'any.key', body, options);
      });
      await runtime.events.sendEvent(Placed, { n: 1 });
      await until('the good ones are handled', () => handled.length === 2);
      const bodies = async (): Promise<Buffer[]> => {
        const found: Buffer[] = [];
        for await (const {
          message: { body },
        } of runtime.deadLetters.all())
          found.push(Buffer.from(body));
        return found;
      };
      await until('the others are dead letters', async () => (await bodies()).length >= strange.length);
      const letters = await bodies();
      expect(letters).toHaveLength(strange.length);
      for (const [body] of strange) expect(letters.some((letter) => letter.equals(body))).toBe(true);
      expect(await service.ready(`${service.name}.placed::${service.name}.Receipt`)).toBe(0);
    } finally {
      await runtime.stop();
    }
  });
});
