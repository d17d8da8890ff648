import type { DeadLetter, Subscription } from 'nestjs-eventing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { message, TestProcess, until } from './amqp.fixture.js';
import { RabbitMqPeer } from './rabbitmq.peer.fixture.js';

// Against a mock, as there is no RabbitMQ 4 here. What the contract asks for is in `test/conformance/amqp.rabbitmq.int.spec.ts`.

describe('the dialect of RabbitMQ 4, on a mock of it', { timeout: 30_000 }, () => {
  let peer: RabbitMqPeer;
  const processes: TestProcess[] = [];
  beforeEach(async () => {
    peer = await RabbitMqPeer.start();
  });
  afterEach(async () => {
    await Promise.all(processes.splice(0).map((process) => process.stop()));
    await peer.close();
  });

  function process(topology: 'create' | 'check' = 'create', options: object = {}): TestProcess {
    const one = new TestProcess(peer.access, 'shop', { broker: 'rabbitmq', ...options }, { topology });
    processes.push(one);
    return one;
  }

  async function started(...channels: readonly string[]): Promise<TestProcess> {
    const shop = process();
    await shop.start(...channels);
    return shop;
  }

  const argumentsOf = (queue: string) => peer.state.queues.get(queue)?.args;

  it.each<[string, Partial<Subscription>, string, object]>([
    [
      'durable and in order',
      {},
      'orders:shop:Receipt',
      { 'x-queue-type': 'quorum', 'x-delivery-limit': 1_000_000_000, 'x-single-active-consumer': true },
    ],
    [
      'durable without order',
      { ordered: false },
      'orders:shop:Receipt',
      { 'x-queue-type': 'quorum', 'x-delivery-limit': 1_000_000_000 },
    ],
    [
      'not durable',
      { durable: false, ordered: false },
      'orders:shop:Receipt',
      { 'x-queue-type': 'classic', 'x-expires': 60_000 },
    ],
    [
      'per process',
      { perProcess: true },
      'orders:shop:Receipt:one',
      { 'x-queue-type': 'classic', 'x-expires': 60_000 },
    ],
  ])('makes a queue that is %s', async (_what, changes, queue, wanted) => {
    const shop = new TestProcess(peer.access, 'shop', { broker: 'rabbitmq' }, { instance: 'one' });
    processes.push(shop);
    await shop.start('orders');
    await shop.subscribe('Receipt', 'orders', undefined, changes);
    expect(argumentsOf(queue)).toEqual({ 'x-overflow': 'reject-publish', ...wanted });
    expect(peer.state.exchanges.get('orders')).toEqual({ type: 'topic', bindings: [{ queue, key: '#' }] });
    expect(peer.state.exchanges.get('shop.redrive')?.bindings).toEqual([{ queue, key: 'orders:Receipt' }]);
    expect(argumentsOf('shop.dead-letters')).toEqual({ 'x-queue-type': 'stream' });
  });

  it('takes it as sent what nobody listens to, and as failed what lost its exchange', async () => {
    const shop = await started('orders');
    const many = Array.from({ length: 50 }, () => message('orders'));
    expect(await shop.provider.publish(many)).toEqual([]);
    peer.state.exchanges.delete('orders');
    const [failure] = await shop.provider.publish([message('orders')]);
    expect(failure).toMatchObject({ indeterminate: false, error: { code: 'EVT_PUBLISH_FAILED' } });
    expect(shop.context.statuses).toEqual(['connected']);
  });

  it('sends to one listener alone, and says where there is none', async () => {
    const shop = await started('orders');
    await shop.subscribe('Receipt', 'orders');
    const to = async (listener: string) => shop.provider.publish([message('orders', { text: listener, to: listener })]);
    expect(await to('Receipt')).toEqual([]);
    expect(await to('Nobody')).toMatchObject([
      { indeterminate: false, error: { code: 'EVT_PUBLISH_FAILED', message: expect.stringContaining('Nobody') } },
    ]);
    await until('it arrives', () => shop.texts.length > 0);
    expect(shop.texts).toEqual(['Receipt']);
  });

  it('lets a channel that this user may not send to disturb no other', async () => {
    const shop = await started('orders', 'secrets');
    await shop.subscribe('Receipt', 'orders');
    peer.state.forbidden.add('secrets');
    const failures = await shop.provider.publish([message('secrets'), message('orders', { text: 'a' })]);
    expect(failures).toMatchObject([
      { index: 0, error: { code: 'EVT_PUBLISH_FAILED', message: expect.stringContaining('the right to send there') } },
    ]);
    await until('the other arrives', () => shop.texts.includes('a'));
    expect(shop.context.statuses).toEqual(['connected']);
  });

  it('refuses a queue that exists with other arguments', async () => {
    const shop = await started('orders');
    peer.state.request('PUT', '/queues/orders%3Ashop%3AReceipt', {
      durable: true,
      arguments: { 'x-queue-type': 'classic' },
    });
    await expect(shop.subscribe('Receipt', 'orders')).rejects.toMatchObject({
      code: 'EVT_TOPOLOGY',
      message: expect.stringMatching(/orders:shop:Receipt exists with other arguments: .*inequivalent arg/),
    });
  });

  it('refuses a queue that the broker will not make', async () => {
    const shop = await started('orders');
    peer.state.refuse = /:Receipt$/;
    await expect(shop.subscribe('Receipt', 'orders')).rejects.toMatchObject({
      code: 'EVT_TOPOLOGY',
      message: expect.stringMatching(/orders:shop:Receipt cannot be made: .*for a test/),
    });
  });

  it('refuses a channel whose exchange is of another type', async () => {
    peer.state.request('PUT', '/exchanges/orders', { type: 'fanout', durable: true, arguments: {} });
    await expect(process().start('orders')).rejects.toMatchObject({
      code: 'EVT_TOPOLOGY',
      message: expect.stringContaining('The exchange orders exists with other arguments'),
    });
  });

  describe("under topology: 'check'", () => {
    it('makes nothing that outlives it, and finds what is there', async () => {
      await (await started('orders')).subscribe('Receipt', 'orders');
      const strict = process('check');
      await strict.start('orders');
      await strict.subscribe('Receipt', 'orders');
      await expect(strict.subscribe('Unknown', 'orders')).rejects.toMatchObject({
        code: 'EVT_TOPOLOGY',
        message: expect.stringMatching(
          /:Unknown is missing, .*"x-queue-type":"quorum".* bind it to orders by "#", to shop\.redrive/,
        ),
      });
      expect([...peer.state.queues.keys()]).toEqual(['shop.dead-letters', 'orders:shop:Receipt']);
    });

    it.each([
      ['an exchange', 'orders', /The exchange orders is missing, and topology is 'check'/],
      ['the stream of dead letters', undefined, /The queue shop\.dead-letters is missing/],
    ])('ends the start where %s is missing', async (_what, channel, text) => {
      peer.state.request('PUT', '/exchanges/shop.redrive', { type: 'direct', durable: true });
      const starting = process('check').start(...(channel === undefined ? [] : [channel]));
      await expect(starting).rejects.toMatchObject({ code: 'EVT_TOPOLOGY', message: expect.stringMatching(text) });
    });

    it('tells what differs of a queue', async () => {
      await started('orders');
      const args = { 'x-queue-type': 'quorum', 'x-delivery-limit': 20 };
      peer.state.request('PUT', '/queues/orders%3Ashop%3AReceipt', { durable: true, arguments: args });
      const strict = process('check');
      await strict.start('orders');
      await expect(strict.subscribe('Receipt', 'orders')).rejects.toMatchObject({
        code: 'EVT_TOPOLOGY',
        message: expect.stringMatching(
          /x-delivery-limit is 20 and should be 1000000000.*x-single-active-consumer is undefined/,
        ),
      });
    });
  });

  it('goes on when the broker ends every session', async () => {
    const shop = await started('orders');
    await shop.subscribe('Receipt', 'orders');
    for (let round = 0; round < 3; round++) {
      peer.endSessions();
      await until('it takes messages', async () => {
        const failures = await shop.provider.publish([message('orders', { text: String(round) })]);
        return failures.length === 0;
      });
      await until('it is handled', () => shop.texts.includes(String(round)));
    }
    expect(new Set(shop.texts)).toEqual(new Set(['0', '1', '2']));
  });

  it('reads dead letters page by page over tombstones, and keeps one of each id', async () => {
    const shop = await started('orders');
    const store = shop.provider.deadLetters;
    const ids = Array.from({ length: 250 }, (_, n) => `letter-${n}`);
    for (const id of ids) await store.append(letterOf(id));
    await store.append(letterOf('letter-3'));
    await store.remove(ids.slice(10, 240));
    const found: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await store.scan({ limit: 7, ...(cursor === undefined ? {} : { cursor }) });
      found.push(...page.letters.map(({ id }) => id));
      ({ cursor } = page);
    } while (cursor !== undefined);
    expect(found).toEqual([...ids.slice(0, 3), ...ids.slice(4, 10), ...ids.slice(240), 'letter-3']);
    await expect(store.scan({ limit: 1, cursor: '1:5' })).rejects.toMatchObject({ code: 'EVT_POSITION' });
  });

  it.each([
    [
      "broker: 'artemis' at RabbitMQ",
      { product: 'RabbitMQ', version: '4.1.0' },
      'artemis',
      /give it `broker: 'rabbitmq'`/,
    ],
    [
      "broker: 'rabbitmq' at Artemis",
      { product: 'apache-activemq-artemis', version: '2.55' },
      'rabbitmq',
      /give it `broker: 'artemis'`/,
    ],
    ['addresses v2 at RabbitMQ 3', { product: 'RabbitMQ', version: '3.13.7' }, 'rabbitmq', /`addresses: 'v1'`/],
  ] as const)('ends the start for %s', async (_what, properties, broker, text) => {
    const other = await RabbitMqPeer.start(properties);
    const shop = new TestProcess(other.access, 'shop', { broker });
    processes.push(shop);
    await expect(shop.start('orders')).rejects.toMatchObject({
      code: 'EVT_INVALID_OPTIONS',
      message: expect.stringMatching(text),
    });
    await other.close();
  });

  it('names the virtual host as RabbitMQ wants it', async () => {
    await process('create', { vhost: 'tenant-1' }).start('orders');
    expect(peer.hostnames).toContain('vhost:tenant-1');
  });
});

function letterOf(id: string): DeadLetter {
  return {
    ...{ id, service: 'shop', listener: 'Receipt', channel: 'orders', reason: 'failed', attempts: 5 },
    ...{ error: { name: 'Error', message: 'no' }, firstFailedAt: 1, deadAt: 2 },
    message: { key: undefined, headers: {}, body: Buffer.from(id), time: 1, position: id },
  };
}
