import { randomUUID } from 'node:crypto';
import type { DeadLetter, Delivery } from 'nestjs-eventing';
import rhea, { type Message } from 'rhea';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest';
import { control, message, Network, Stranger, TestProcess, textOf, until } from './amqp.fixture.js';

const artemis = inject('artemis');
const PATIENT = 60_000;

describe.skipIf(!artemis)('on a real Artemis', () => {
  if (!artemis) return;
  const processes: TestProcess[] = [];
  let stranger: Stranger;

  beforeAll(async () => {
    stranger = await Stranger.connect(artemis);
  });
  afterAll(() => stranger.close());
  afterEach(async () => {
    await Promise.all(processes.splice(0).map((process) => process.stop()));
  });

  function process(
    ...given: ConstructorParameters<typeof TestProcess> extends [unknown, ...infer Rest] ? Rest : never
  ) {
    const one = new TestProcess(artemis as NonNullable<typeof artemis>, ...given);
    processes.push(one);
    return one;
  }

  const names = () => {
    const id = randomUUID().slice(0, 8);
    return { service: `shop-${id}`, channel: `orders-${id}` };
  };

  const {
    data_section: data,
    data_sections: dataSections,
    sequence_section: sequence,
  } = rhea.message as unknown as Record<
    'data_section' | 'data_sections' | 'sequence_section',
    (content: unknown) => unknown
  >;

  describe('a message of other software', () => {
    const { types } = rhea as unknown as {
      types: Record<
        'wrap_timestamp' | 'wrap_long' | 'wrap_char' | 'wrap_symbol' | 'wrap_uuid',
        (value: unknown) => unknown
      >;
    };
    const foreign: readonly (readonly [string, Message, string | undefined])[] = [
      ['text', { body: 'grüße' }, 'grüße'],
      ['empty text', { body: '' }, ''],
      ['binary as a value', { body: Buffer.from('bytes') }, 'bytes'],
      ['data', { body: data(Buffer.from('data')) as never }, 'data'],
      ['several data sections', { body: dataSections([Buffer.from('one'), Buffer.from('two')]) as never }, 'onetwo'],
      ['no value', { body: null }, ''],
      ['a map', { body: { a: 1, nested: { b: [true, null] } } }, undefined],
      ['a list', { body: [1, 'two', null] }, undefined],
      ['a number', { body: 42 }, undefined],
      ['a sequence', { body: sequence([1, 2]) as never }, undefined],
      ['a header that is a map', { body: 'x', application_properties: { odd: { deep: 1 } as never } }, 'x'],
      [
        'headers of every kind',
        {
          body: 'x',
          application_properties: {
            flag: true,
            whole: types.wrap_long(-(2 ** 40)) as never,
            when: types.wrap_timestamp(0) as never,
            letter: types.wrap_char(0x1f5dd) as never,
            id: types.wrap_uuid(Buffer.alloc(16, 1)) as never,
            none: null as never,
            __proto__x: 'y',
          },
        },
        'x',
      ],
      [
        'properties, annotations and a footer',
        {
          body: 'x',
          subject: 'sub',
          correlation_id: 7,
          reply_to: 'back',
          content_encoding: 'gzip',
          message_annotations: { 'x-opt-any': { a: 1 } as never },
          footer: { crc: 1 },
        },
        'x',
      ],
    ];

    it.each(foreign)('is delivered, stored as a dead letter and gone: %s', async (_what, sent, text) => {
      const { service, channel } = names();
      const shop = process(service);
      await shop.start(channel);
      const handle = await shop.subscribe('Receipt', channel, (delivery) => {
        void delivery.settle({ kind: 'reject', letter: letterOf(delivery, service) });
      });
      await stranger.send(channel, { durable: true, ...sent });
      await stranger.send(channel, { durable: true, body: 'the next' });
      await until('both arrive', () => shop.deliveries.length === 2);
      const [first] = shop.deliveries;
      if (text !== undefined) expect(textOf(first as Delivery)).toBe(text);
      else expect(first?.headers['eventing-amqp-body']).toMatch(/^(value|sequence)$/);
      await until('both are gone', async () => (await handle.lag()) === 0);
      const { letters } = await shop.provider.deadLetters.scan({ limit: 10 });
      expect(letters.map(({ message: { body } }) => Buffer.from(body).equals(Buffer.from((first as Delivery).body)))).toContain(true); // prettier-ignore
      expect(letters).toHaveLength(2);
    });

    it('shows headers as text, and what AMQP has fields for', async () => {
      const { service, channel } = names();
      const shop = process(service);
      await shop.start(channel);
      await shop.subscribe('Receipt', channel);
      for (const [, sent] of foreign.slice(-2)) await stranger.send(channel, { durable: true, ...sent });
      await until('both arrive', () => shop.deliveries.length === 2);
      expect(shop.deliveries[0]?.headers).toEqual({
        flag: 'true',
        whole: String(-(2 ** 40)),
        when: '1970-01-01T00:00:00.000Z',
        letter: '🗝',
        id: '01010101-0101-0101-0101-010101010101',
        __proto__x: 'y',
      });
      expect(shop.deliveries[1]?.headers).toEqual({
        'amqp:subject': 'sub',
        'amqp:correlation-id': '7',
        'amqp:reply-to': 'back',
        'amqp:content-encoding': 'gzip',
      });
    });

    it('spells CloudEvents attributes as JMS must', async () => {
      const { service, channel } = names();
      const shop = process(service);
      await shop.start(channel);
      await shop.subscribe('Receipt', channel);
      await stranger.send(channel, {
        body: 'x',
        application_properties: { cloudEvents_id: '1', 'cloudEvents:type': 't' },
      });
      await until('it arrives', () => shop.deliveries.length === 1);
      expect(shop.deliveries[0]?.headers).toEqual({ 'cloudEvents:id': '1', 'cloudEvents:type': 't' });
    });

    it('of 64 MiB arrives whole and harms nobody', { timeout: PATIENT }, async () => {
      const { service, channel } = names();
      const shop = process(service);
      await shop.start(channel);
      await shop.subscribe('Receipt', channel);
      const huge = Buffer.alloc(64 * 1024 * 1024, 'abcdefg');
      await stranger.send(channel, { durable: true, body: data(huge) as never });
      await stranger.send(channel, { durable: true, body: 'the next' });
      await until('both arrive', () => shop.deliveries.length === 2, PATIENT);
      expect(Buffer.compare(Buffer.from(shop.deliveries[0]?.body ?? []), huge)).toBe(0);
    });

    it('tells two apart that are equal to the last byte', async () => {
      const { service, channel } = names();
      const shop = process(service);
      await shop.start(channel);
      await shop.subscribe('Receipt', channel);
      for (let count = 0; count < 2; count++) await stranger.send(channel, { body: 'same' });
      await until('both arrive', () => shop.deliveries.length === 2);
      expect(shop.deliveries[0]?.position).not.toBe(shop.deliveries[1]?.position);
    });
  });

  it('lets nobody wait behind a message that is never settled', async () => {
    const { service, channel } = names();
    const shop = process(service);
    await shop.start(channel);
    await shop.subscribe('Receipt', channel, (delivery) => {
      if (textOf(delivery) !== '0') void delivery.settle({ kind: 'accept' });
    });
    const count = 5_000;
    await shop.provider.publish(Array.from({ length: count }, (_, n) => message(channel, { text: String(n) })));
    await until('all others arrive', () => shop.deliveries.length === count);
    expect(new Set(shop.texts).size).toBe(count);
  });

  it('reports only the messages that failed', async () => {
    const { service, channel } = names();
    const shop = process(service);
    await shop.start(channel);
    await shop.subscribe('Receipt', channel);
    const failures = await shop.provider.publish([
      message(channel, { text: 'a' }),
      message('no address!'),
      message(channel, { text: 'b' }),
      message(channel, { text: 'c', to: 'Nobody' }),
    ]);
    expect(failures).toMatchObject([
      { index: 1, indeterminate: false, error: { code: 'EVT_TOPOLOGY' } },
      {
        index: 3,
        indeterminate: false,
        error: { code: 'EVT_PUBLISH_FAILED', message: expect.stringContaining('Nobody') },
      },
    ]);
    await until('the others arrive', () => shop.deliveries.length === 2);
    expect(await control(artemis, 'broker', 'getQueueNames')).not.toContain(`${channel}:${service}:Nobody`);
  });

  describe('ends the start, with a code and what to change', () => {
    it('for a wrong password, without trying again', async () => {
      const network = new Network();
      const { service, channel } = names();
      const shop = process(service, { password: 'wrong', openSocket: network.open });
      await expect(shop.start(channel)).rejects.toMatchObject({
        code: 'EVT_AUTHENTICATION',
        message: expect.stringContaining('`password` of amqp({ … })'),
      });
      const { opened } = network;
      expect(opened).toBeLessThanOrEqual(2);
      await new Promise((resolve) => setTimeout(resolve, 500));
      expect(network.opened).toBe(opened);
      expect(JSON.stringify(shop.context.lines)).not.toContain('wrong');
    });

    it('for a port that speaks something else', async () => {
      const { service, channel } = names();
      const shop = process(service, { port: artemis.stompPort ?? 0, connectTimeout: 500 });
      const started = shop.start(channel).catch((error: unknown) => error);
      await until('it is told', () => shop.context.lines.length > 0);
      await shop.stop();
      expect(await started).toMatchObject({ code: 'EVT_NOT_RUNNING' });
    });

    it("for a missing address under topology: 'check'", async () => {
      const { service, channel } = names();
      const shop = process(service, {}, { topology: 'check' });
      await expect(shop.start(channel)).rejects.toMatchObject({
        code: 'EVT_TOPOLOGY',
        message: expect.stringMatching(new RegExp(`${channel}.*artemis address create`)),
      });
    });

    it('for an address that is a queue of another program', async () => {
      const { service, channel } = names();
      await control(artemis, 'broker', 'createAddress', channel, 'ANYCAST');
      await expect(process(service).start(channel)).rejects.toMatchObject({
        code: 'EVT_TOPOLOGY',
        message: expect.stringContaining('is ANYCAST and should be MULTICAST'),
      });
    });
  });

  it("refuses a missing queue under topology: 'check', and names the command that makes it", async () => {
    const { service, channel } = names();
    await process(service).start(channel);
    const strict = process(service, {}, { topology: 'check' });
    await strict.start(channel);
    await expect(strict.subscribe('Receipt', channel)).rejects.toMatchObject({
      code: 'EVT_TOPOLOGY',
      message: expect.stringMatching(/artemis queue create --name .*:Receipt .*--exclusive/),
    });
  });

  it.each([
    ['on another address', (channel: string) => ({ address: `${channel}-other` }), 'address'],
    ['not exclusive', (channel: string) => ({ address: channel, exclusive: false }), 'exclusive'],
    ['not durable', (channel: string) => ({ address: channel, exclusive: true, durable: false }), 'durable'],
    ['with a filter', (channel: string) => ({ address: channel, exclusive: true, 'filter-string': 'a = 1' }), 'filter'],
  ])('refuses a queue that exists with other arguments: %s', async (_what, settings, culprit) => {
    const { service, channel } = names();
    const shop = process(service);
    await shop.start(channel);
    const queue = {
      name: `${channel}:${service}:Receipt`,
      'routing-type': 'MULTICAST',
      durable: true,
      'auto-delete': false,
    };
    await control(artemis, 'broker', 'createQueue', JSON.stringify({ ...queue, ...settings(channel) }), false);
    await expect(shop.subscribe('Receipt', channel)).rejects.toMatchObject({
      code: 'EVT_TOPOLOGY',
      message: expect.stringMatching(new RegExp(`exists with other arguments: .*its ${culprit}`)),
    });
  });

  it('sees to it that the broker gives up no event by itself', async () => {
    const { service, channel } = names();
    await process(service).start(channel);
    for (const address of [channel, `${service}.dead-letters`]) {
      const settings: unknown = JSON.parse(
        String(await control(artemis, 'broker', 'getAddressSettingsAsJSON', address)),
      );
      expect(settings).toMatchObject({ maxDeliveryAttempts: -1, addressFullMessagePolicy: 'PAGE' });
    }
  });

  it('loses nothing of a queue whose consumer is cut off again and again', { timeout: PATIENT }, async () => {
    const network = new Network();
    const { service, channel } = names();
    const shop = process(service, { openSocket: network.open });
    await shop.start(channel);
    await shop.subscribe('Receipt', channel, () => undefined);
    await shop.provider.publish(Array.from({ length: 20 }, (_, n) => message(channel, { text: String(n) })));
    for (let round = 0; round < 5; round++) {
      shop.deliveries.length = 0;
      network.breakAll();
      await until('all come again', () => new Set(shop.texts).size === 20, PATIENT);
    }
    expect(await control(artemis, 'queue.DLQ', 'countMessages', `_AMQ_ORIG_ADDRESS = '${channel}'`)).toBe(0);
  });

  it('tries again with growing pauses while there is no way to the broker', async () => {
    const network = new Network();
    const { service, channel } = names();
    const shop = process(service, { openSocket: network.open });
    await shop.start(channel);
    network.cut();
    await until('it is told', () => shop.context.statuses.includes('disconnected'));
    const before = network.opened;
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    // Of each of two connections: 100, 200, 400, 800 ms, and up to half less by chance.
    expect(network.opened - before).toBeLessThanOrEqual(14);
    expect(shop.context.lines.filter((line) => line.startsWith('warn'))).toHaveLength(1);
    network.mend();
    await until('it is back', () => shop.context.statuses.at(-1) === 'connected');
  });

  it('removes letters whose ids are full of quotes, and keeps a cursor over removals', async () => {
    const { service, channel } = names();
    const shop = process(service);
    await shop.start(channel);
    await shop.subscribe('Receipt', channel, () => undefined);
    await shop.provider.publish([message(channel)]);
    await until('it arrives', () => shop.deliveries.length === 1);
    const store = shop.provider.deadLetters;
    const letter = letterOf(shop.deliveries[0] as Delivery, service);
    const ids = ["it's", "'; --", 'plain', 'a "b" \\ c', 'ü✓'];
    for (const id of ids) await store.append({ ...letter, id });
    await store.append({ ...letter, id: 'plain' });
    expect((await store.scan({ limit: 10 })).letters).toHaveLength(5);
    await store.remove(ids.slice(0, 2));
    await store.remove(["it's"]);
    const left = (await store.scan({ limit: 10 })).letters.map(({ id }) => id);
    expect(left.toSorted()).toEqual(ids.slice(2).toSorted());
    await store.append({ ...letter, id: "it's" });
    expect((await store.scan({ limit: 10 })).letters.map(({ id }) => id)).toContain("it's");
    await expect(store.scan({ limit: 1, cursor: 'mine' })).rejects.toMatchObject({ code: 'EVT_POSITION' });
  });

  it('keeps a deferred message for its own queue alone', async () => {
    const { service, channel } = names();
    const shop = process(service);
    await shop.start(channel);
    const at: number[] = [];
    let notBefore = 0;
    await shop.subscribe('Receipt', channel, (delivery) => {
      at.push(Date.now());
      notBefore ||= Date.now() + 300;
      void delivery.settle(delivery.attempt === 1 ? { kind: 'defer', notBefore, attempt: 2 } : { kind: 'accept' });
    });
    const other = process(service);
    await other.start(channel);
    await other.subscribe('Stock', channel);
    await shop.provider.publish([message(channel, { key: 'k', headers: { a: '1' } })]);
    await until('it comes back', () => shop.deliveries.length === 2);
    expect(at[1]).toBeGreaterThanOrEqual(notBefore);
    const [first, second] = shop.deliveries;
    expect(second).toMatchObject({ key: 'k', headers: { a: '1' }, position: first?.position, time: first?.time });
    expect(other.deliveries).toHaveLength(1);
  });
});

function letterOf(delivery: Delivery, service: string): DeadLetter {
  const { key, headers, body, time, position } = delivery;
  return {
    id: position,
    service,
    listener: 'Receipt',
    channel: delivery.channel,
    reason: 'undecodable',
    error: { name: 'Error', message: 'no' },
    attempts: 0,
    firstFailedAt: 1,
    deadAt: 2,
    message: { key, headers, body, time, position },
  };
}
