import type { DeadLetter, Delivery, Subscription } from 'nestjs-eventing';
import rhea from 'rhea';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { acceptAll, keepAll, message, TestService, textOf, until } from './stomp.fixture.js';

const artemis = inject('artemis');

describe.skipIf(artemis?.stompPort === undefined)('the STOMP provider', () => {
  let service: TestService;
  let channel: string;
  beforeEach(() => {
    service = new TestService(() => {
      if (artemis === undefined) throw new Error('The test should have been skipped.');
      return artemis;
    });
    ({ channel } = service);
  });
  afterEach(() => service.stop());

  it('carries headers of any name and value, both ways', async () => {
    const shop = await service.started();
    const received = await shop.subscribe('Receipt', channel);
    const headers: Record<string, string | Uint8Array> = {
      'backslash-n': 'C:\\new\\remote\\colon: a:b\\',
      breaks: 'a\nb\r\nc',
      blanks: '  both ends  ',
      empty: '',
      nul: 'a\u0000b',
      bytes: Buffer.from([0xff, 0xfe, 0]),
      unicode: 'grüße 🗝',
      'content-type': 'text/plain; charset=utf-8',
    };
    const meaningful = [
      ...[
        'destination',
        'receipt',
        'ack',
        'id',
        'message-id',
        'subscription',
        'priority',
        'persistent',
        'expires',
        'type',
      ],
      ...[
        'timestamp',
        'reply-to',
        'correlation-id',
        'transaction',
        'selector',
        'content-length',
        'redelivered',
        'login',
      ],
      ...[
        'destination-type',
        'JMSXGroupID',
        'AMQ_SCHEDULED_TIME',
        '_AMQ_DUPL_ID',
        'eventing-key',
        'eventing-time',
        'eventing_letter',
      ],
      ...[
        'eventing-attempt',
        'eventing-not-before',
        'eventing-x-a',
        'eventing-b-a',
        'eventing-mine',
        'a:b',
        'with blank',
      ],
    ];
    for (const name of meaningful) headers[name] = '9';
    Object.defineProperty(headers, '__proto__', { value: 'proto', enumerable: true });
    await shop.provider.publish([
      { ...message(channel), key: 'k', headers, body: Buffer.of(0, 10, 255), time: 1_234_567_890_123 },
    ]);
    await until('it arrives', () => received.deliveries.length === 1);
    const [delivery] = received.deliveries as [Delivery];
    expect(delivery).toMatchObject({
      channel,
      key: 'k',
      time: 1_234_567_890_123,
      attempt: 1,
      source: service.queue('Receipt'),
    });
    expect(Buffer.from(delivery.body)).toEqual(Buffer.of(0, 10, 255));
    const hex = (all: Delivery['headers']): Record<string, string> =>
      Object.fromEntries(Object.entries(all).map(([name, value]) => [name, Buffer.from(value as string).toString()]));
    expect(hex(delivery.headers)).toEqual(hex(headers));
  });

  it('hands over what other programs sent by STOMP, and confirms it', async () => {
    const shop = await service.started();
    const received = await shop.subscribe('Receipt', channel, keepAll);
    const head = `SEND\ndestination:${channel}\npersistent:true\n`;
    await service.frames(
      [head, Buffer.from('text without a length')],
      [`${head}ack:junk\nmessage-id:junk\nsubscription:junk\ncontent-length:4\n`, Buffer.of(0, 1, 2, 3)],
      [
        `${head}session:first\nsession:second\neventing-time:soon\neventing-attempt:-3\neventing-not-before:x\n`,
        Buffer.from('repeated'),
      ],
      [`${head}eventing-b-a:***\ncorrelation-id:c1\nreply-to:/queue/a\ntype:t\n`, Buffer.from('own names')],
      [`${head}content-length:0\n`],
      [head],
    );
    await until('all arrive', () => received.deliveries.length === 6);
    expect(received.texts.slice(0, 4)).toEqual([
      'text without a length',
      '\u0000\u0001\u0002\u0003',
      'repeated',
      'own names',
    ]);
    expect(received.deliveries[2]).toMatchObject({ headers: { session: 'first' }, attempt: 1 });
    expect(received.deliveries[3]?.headers).toMatchObject({
      'correlation-id': 'c1',
      'reply-to': '/queue/a',
      type: 't',
    });
    expect(Math.abs((received.deliveries[2]?.time ?? 0) - Date.now())).toBeLessThan(60_000);
    for (const delivery of received.deliveries) acceptAll(delivery);
    await until('all are gone', async () => (await service.count(service.queue('Receipt'))) === 0);
    expect(shop.context.statuses).toEqual(['connected']);
  });

  it('hands over what other programs sent by AMQP, and sets aside what STOMP cannot say', async () => {
    const shop = await service.started();
    const received = await shop.subscribe('Receipt', channel);
    const { message: make, types } = rhea;
    await service.amqp(channel, [
      {
        body: make.data_section(Buffer.of(0, 255, 10)),
        durable: true,
        group_id: 'k1',
        content_type: 'application/json',
      },
      { body: 'a string', subject: 's', application_properties: { n: 1, flag: true, nothing: null, ack: 'junk' } },
      { body: types.wrap_long(5), message_annotations: { 'x-opt-a': 1 } },
      { body: null },
      { body: make.data_section(Buffer.alloc(0)), application_properties: { 'cloudEvents:id': '1' } },
      { body: types.wrap_map({ a: 1 }) },
    ]);
    await shop.publish(channel, ['ours']);
    await until('ours arrives behind them', () => received.texts.includes('ours'));
    await until('the map is set aside', async () => (await service.count(`${service.name}.set-aside`)) === 1);
    expect(received.deliveries[0]).toMatchObject({ key: 'k1', headers: { 'content-type': 'application/json' } });
    expect(Buffer.from(received.deliveries[0]?.body ?? [])).toEqual(Buffer.of(0, 255, 10));
    expect(received.deliveries[1]).toMatchObject({ headers: { type: 's', n: '1' } });
    await until('nothing is left behind', async () => (await service.count(service.queue('Receipt'))) === 0);
    expect(received.texts).toHaveLength(6);
  });

  it('finds the message at which the broker itself fails, sets it aside and goes on', async () => {
    const shop = await service.started();
    const received = await shop.subscribe('Receipt', channel);
    await shop.publish(channel, ['before']);
    // Artemis knows no unsigned numbers in a sequence: it drops the consumer, and takes ten seconds for that.
    await service.amqp(channel, [{ body: rhea.message.sequence_section([1, 2]) }]);
    await shop.publish(channel, ['after']);
    await until(
      'it is set aside',
      async () => (await service.count(`${service.name}.set-aside`).catch(() => 0)) === 1,
      50_000,
    );
    await until('the others are handled', async () => (await service.count(service.queue('Receipt'))) === 0);
    expect(new Set(received.texts)).toEqual(new Set(['before', 'after']));
    // Three connections each time that it fails, which is two or three times, more on a busy machine; a storm makes hundreds.
    expect(shop.network.attempts).toBeLessThan(80);
  });

  it('sets a message aside that is too large, whole, and goes on', async () => {
    const shop = await service.started({ maxFrameBytes: 131_072 });
    const received = await shop.subscribe('Receipt', channel, acceptAll, { window: 4 });
    await shop.publish(channel, ['before']);
    const large = Buffer.alloc(64 * 1024 * 1024, 'x');
    // By STOMP the broker itself takes half a minute for it.
    await service.amqp(channel, [{ body: rhea.message.data_section(large), durable: true }]);
    await shop.publish(channel, ['after', 'and after']);
    await until('the next arrive', () => received.texts.includes('and after'));
    expect(received.texts).toEqual(['before', 'after', 'and after']);
    expect(await service.count(`${service.name}.set-aside`)).toBe(1);
    expect(shop.context.lines.filter((line) => line.includes('EVT_UNDECODABLE'))).toHaveLength(1);
    await until('nothing is left behind', async () => (await service.count(service.queue('Receipt'))) === 0);
  });

  it('keeps a message that its processes died of, more often than brokers put up with', async () => {
    for (let death = 0; death < 12; death++) {
      const victim = await service.started();
      const received = await victim.subscribe('Receipt', channel, keepAll);
      if (death === 0) await victim.publish(channel, ['poison']);
      await until('it is at work', () => received.texts.length === 1);
      victim.network.cut();
    }
    const last = await service.started();
    const received = await last.subscribe('Receipt', channel);
    await until('it comes back', () => received.texts.length === 1);
    expect(received.deliveries[0]?.attempt).toBe(1);
  });

  it('keeps dead letters however often they are read', async () => {
    const shop = await service.started();
    for (let n = 0; n < 5; n++) await shop.provider.deadLetters.append(letter(`l'${n}`, service.name));
    for (let scan = 0; scan < 25; scan++) {
      const { letters, cursor } = await shop.provider.deadLetters.scan({ limit: 1 + (scan % 5) });
      expect(letters).toHaveLength(1 + (scan % 5));
      expect(cursor === undefined).toBe(scan % 5 === 4);
    }
    // Side by side, too.
    const pages = await Promise.all(Array.from({ length: 4 }, () => shop.provider.deadLetters.scan({ limit: 10 })));
    expect(pages.map(({ letters }) => letters.length)).toEqual([5, 5, 5, 5]);
    await shop.provider.deadLetters.remove(["l'0", 'l"4', "x' OR '1' = '1"]);
    const { letters } = await shop.provider.deadLetters.scan({ limit: 10 });
    expect(letters.map(({ id }) => id)).toEqual(["l'1", "l'2", "l'3", "l'4"]);
    await expect(shop.provider.deadLetters.scan({ limit: 1, cursor: '1:x' })).rejects.toMatchObject({
      code: 'EVT_POSITION',
    });
  });

  it('fails a message to a listener that there never was, and makes no queue for it', async () => {
    const shop = await service.started();
    const [failure] = await shop.provider.publish([message(channel, { to: 'Nobody' })]);
    expect(failure).toMatchObject({ index: 0, indeterminate: false, error: { code: 'EVT_PUBLISH_FAILED' } });
    expect(failure?.error.message).toContain(service.queue('Nobody'));
    expect(await service.manage(`address.${channel}`, 'getQueueNames')).toEqual([]);
  });

  it('sends what is for a listener of each process to all of them', async () => {
    const [one, two] = [await service.started(), await service.started()];
    const caches = await Promise.all(
      [one, two].map((shop) => shop.subscribe('Cache', channel, acceptAll, { perProcess: true })),
    );
    const other = await one.subscribe('Receipt', channel);
    await one.publish(channel, ['all']);
    await two.publish(channel, ['redriven'], { to: 'Cache' });
    for (const cache of caches) await until('it has both', () => cache.texts.length === 2);
    expect(other.texts).toEqual(['all']);
    await Promise.all(caches.map(({ handle }) => handle?.stop()));
    expect(await service.manage(`address.${channel}`, 'getQueueNames')).toEqual([service.queue('Receipt')]);
  });

  it('refuses a queue that is not as it should be, by name', async () => {
    const shop = await service.started();
    const plan = {
      name: service.queue('Receipt'),
      address: channel,
      'routing-type': 'MULTICAST',
      durable: true,
      exclusive: false,
    };
    await service.manage('broker', 'createQueue', JSON.stringify(plan), false);
    const refused = shop.subscribe('Receipt', channel);
    await expect(refused).rejects.toMatchObject({ code: 'EVT_TOPOLOGY' });
    await expect(refused).rejects.toThrow(/:Receipt .*exclusive is false and has to be true/);
    const parallel = await shop.subscribe('Receipt', channel, acceptAll, { ordered: false });
    await shop.publish(channel, ['a']);
    await until('others have it', () => parallel.texts.length === 1);
  });

  it("makes no queue under topology: 'check', and takes the one that is there", async () => {
    const maker = await service.started();
    const checker = await service.process({}, { topology: 'check' }).start(channel);
    const refused = checker.subscribe('Receipt', channel);
    await expect(refused).rejects.toMatchObject({ code: 'EVT_TOPOLOGY' });
    await expect(refused).rejects.toThrow(service.queue('Receipt'));
    await (await maker.subscribe('Receipt', channel)).handle?.stop();
    const received = await checker.subscribe('Receipt', channel);
    await checker.publish(channel, ['a']);
    await until('it arrives', () => received.texts.length === 1);
    const [failure] = await checker.provider.publish([message(`${service.name}.none`)]);
    expect(failure).toMatchObject({ error: { code: 'EVT_TOPOLOGY' } });
  });

  it('ends the start for wrong credentials, after one attempt, and says nothing of them', async () => {
    const shop = service.process({ password: 'wrong-and-secret' });
    await expect(shop.start(channel)).rejects.toMatchObject({ code: 'EVT_AUTHENTICATION' });
    expect(shop.network.attempts).toBe(1);
    expect(shop.context.lines.join('\n')).not.toContain('wrong-and-secret');
  });

  it('does not storm a broker that does not answer', async () => {
    const shop = service.process({ port: 1, host: '127.0.0.1' });
    const starting = expect(shop.start(channel)).rejects.toMatchObject({ code: 'EVT_NOT_RUNNING' });
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    expect(shop.network.attempts).toBeGreaterThan(2);
    expect(shop.network.attempts).toBeLessThan(12);
    await shop.stop();
    await starting;
  });

  it('goes on after its connections broke, again and again, and loses nothing', async () => {
    const shop = await service.started();
    const received = await shop.subscribe('Receipt', channel, acceptAll, { window: 16 });
    const sends: Promise<void>[] = [];
    for (let n = 0; n < 300; n++) {
      sends.push(shop.publish(channel, [String(n)], { key: `k${n % 5}` }));
      if (n % 60 === 30) shop.network.breakAll();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await Promise.all(sends);
    const seen = (): string[] => [...new Set(received.texts)];
    await until('all are there', () => seen().length === 300);
    for (const key of [0, 1, 2, 3, 4])
      expect(seen().filter((text) => Number(text) % 5 === key)).toEqual(
        Array.from({ length: 60 }, (_, index) => String(index * 5 + key)),
      );
  });

  /** Before anybody else is connected: the broker remembers for some seconds what it has allowed whom. */
  async function forbid(address: string): Promise<void> {
    await service.manage(
      'broker',
      'addSecuritySettings',
      address,
      'nobody',
      ...Array.from({ length: 6 }, () => 'admin'),
    );
    const other = await service.process().start(address);
    await until('the broker refuses it', async () => (await other.provider.publish([message(address)])).length === 1);
    await other.stop();
  }

  it('delivers nothing twice that was confirmed, whoever refused what beside it', async () => {
    const bad = `${service.name}.bad`;
    await forbid(bad);
    const shop = await service.process().start(channel, bad);
    const received = await shop.subscribe('Receipt', channel);
    const all: string[] = [];
    // Again and again: the broker answers what comes behind a refusal, and how far it gets before it is cut off is a matter of luck.
    for (let round = 0; round < 25; round++) {
      const messages = Array.from({ length: 40 }, (_, n) => {
        return message(n % 10 === 5 ? bad : channel, { text: String(round * 40 + n) });
      });
      const failures = await shop.provider.publish(messages);
      expect(failures.map(({ index }) => index).sort((a, b) => a - b)).toEqual([5, 15, 25, 35]);
      for (const failure of failures)
        expect(failure).toMatchObject({ indeterminate: false, error: { code: 'EVT_PUBLISH_FAILED' } });
      all.push(...messages.map(textOf).filter((text) => Number(text) % 10 !== 5));
    }
    await until('the others are there', () => received.texts.length >= all.length);
    expect(received.texts).toEqual(all);
  });

  it('does not storm a broker that refuses one event after the other', async () => {
    const bad = `${service.name}.bad`;
    await forbid(bad);
    const shop = await service.process().start(channel, bad);
    const received = await shop.subscribe('Receipt', channel);
    const { attempts } = shop.network;
    const refused = shop.provider.publish(Array.from({ length: 500 }, () => message(bad)));
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    expect(shop.network.attempts - attempts).toBeLessThan(30);
    await shop.stop();
    expect(await refused).toHaveLength(500);
    expect(received.texts).toEqual([]);
  });

  it.each<[string, Partial<Subscription>]>([
    ['one', { window: 1 }],
    ['few', { window: 3, ordered: false }],
  ])('takes no more from the broker than a window of %s asks for', async (_what, plan) => {
    const shop = await service.started({ bytesPerMessage: 1 });
    const received = await shop.subscribe('Receipt', channel, keepAll, plan);
    await shop.publish(channel, ['a', 'b', 'c', 'd', 'e']);
    await until('one arrives', () => received.texts.length === 1);
    for (let n = 1; n < 5; n++) {
      acceptAll(received.deliveries[n - 1] as Delivery);
      await until('the next arrives', () => received.texts.length === n + 1);
    }
    expect(received.texts).toEqual(['a', 'b', 'c', 'd', 'e']);
  });
});

function letter(id: string, service: string): DeadLetter {
  return {
    ...{
      id,
      service,
      listener: 'Receipt',
      channel: 'orders',
      reason: 'failed',
      attempts: 1,
      firstFailedAt: 1,
      deadAt: 2,
    },
    error: { name: 'Error', message: 'made by a test' },
    message: { key: 'k', headers: {}, body: Buffer.from(id), time: 1, position: '1' },
  };
}
