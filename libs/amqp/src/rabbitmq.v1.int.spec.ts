import { randomUUID } from 'node:crypto';
import type { DeadLetter, Delivery } from 'nestjs-eventing';
import { afterEach, describe, expect, inject, it } from 'vitest';
import { connect } from 'amqplib';
import { message, TestProcess, textOf, until } from './amqp.fixture.js';

const rabbit = inject('rabbitmq');
const IS_OLD = rabbit !== undefined && Number.parseInt(rabbit.version, 10) < 4;

// RabbitMQ 3 speaks AMQP 1.0 by a plugin, with addresses v1: what is common to all brokers runs there, on a real one.
describe.skipIf(!IS_OLD)('on a real RabbitMQ 3, with addresses v1', () => {
  if (rabbit === undefined) return;
  const processes: TestProcess[] = [];
  afterEach(async () => {
    await Promise.all(processes.splice(0).map((process) => process.stop()));
  });

  function process(service: string, options: ConstructorParameters<typeof TestProcess>[2] = {}) {
    const old = { broker: 'rabbitmq', addresses: 'v1' } as const;
    const one = new TestProcess(
      rabbit as NonNullable<typeof rabbit>,
      service,
      { ...old, ...options },
      { topology: 'check' },
    );
    processes.push(one);
    return one;
  }

  /** As an administrator would make them, over AMQP 0-9-1. */
  async function made(): Promise<{ readonly service: string; readonly channel: string }> {
    const id = randomUUID().slice(0, 8);
    const [service, channel] = [`shop-${id}`, `orders-${id}`];
    const connection = await connect((rabbit as NonNullable<typeof rabbit>).url);
    const amqp = await connection.createChannel();
    await amqp.assertExchange(channel, 'topic', { durable: true });
    await amqp.assertExchange(`${service}.redrive`, 'direct', { durable: true });
    for (const listener of ['Receipt', 'Stock']) {
      const queue = `${channel}:${service}:${listener}`;
      const args = { 'x-queue-type': 'quorum', 'x-delivery-limit': 1_000_000_000, 'x-single-active-consumer': true };
      await amqp.assertQueue(queue, { durable: true, arguments: args });
      await amqp.bindQueue(queue, channel, '#');
      await amqp.bindQueue(queue, `${service}.redrive`, `${channel}:${listener}`);
    }
    await amqp.assertQueue(`${service}.dead-letters`, { durable: true, arguments: { 'x-queue-type': 'stream' } });
    await connection.close();
    return { service, channel };
  }

  it('sends, receives and accepts, with headers, key and time, in order', async () => {
    const { service, channel } = await made();
    const shop = process(service);
    await shop.start(channel);
    await shop.subscribe('Receipt', channel);
    const other = process(service);
    await other.start(channel);
    await other.subscribe('Stock', channel);
    const texts = Array.from({ length: 500 }, (_, n) => String(n));
    const sent = { key: 'k', headers: { session: 's1', 'cloudEvents:type': 'x' }, time: 1_700_000_000_000 };
    expect(await shop.provider.publish(texts.map((text) => message(channel, { ...sent, text })))).toEqual([]);
    await until('all arrive', () => shop.deliveries.length === 500 && other.deliveries.length === 500);
    expect(shop.texts).toEqual(texts);
    expect(shop.deliveries[0]).toMatchObject({ ...sent, attempt: 1 });
    expect(new Set(shop.deliveries.map(({ position }) => position)).size).toBe(500);
  });

  it('gives back what is released, in order, and what nobody settled to the next process', async () => {
    const { service, channel } = await made();
    const shop = process(service);
    await shop.start(channel);
    await shop.subscribe('Receipt', channel, () => undefined);
    await shop.provider.publish(['a', 'b', 'c'].map((text) => message(channel, { key: 'k', text })));
    await until('all arrive', () => shop.deliveries.length === 3);
    for (const delivery of shop.deliveries.slice(0, 3)) await delivery.settle({ kind: 'release' });
    await until('all come again', () => shop.deliveries.length === 6);
    expect(shop.texts.slice(3)).toEqual(['a', 'b', 'c']);
    const [first] = shop.deliveries.slice(3);
    void first?.settle({ kind: 'accept' });
    await shop.stop();
    const next = process(service);
    await next.start(channel);
    await next.subscribe('Receipt', channel);
    await until('the rest arrives', () => next.deliveries.length === 2);
    expect(next.texts).toEqual(['b', 'c']);
  });

  it('sends to one listener alone, and says where there is none', async () => {
    const { service, channel } = await made();
    const shop = process(service);
    await shop.start(channel);
    await shop.subscribe('Receipt', channel);
    const other = process(service);
    await other.start(channel);
    await other.subscribe('Stock', channel);
    expect(await shop.provider.publish([message(channel, { text: 'again', to: 'Receipt' })])).toEqual([]);
    await until('it arrives', () => shop.texts.includes('again'));
    expect(other.texts).toEqual([]);
  });

  it('stores a dead letter before the message is gone, and refuses to read it', async () => {
    const { service, channel } = await made();
    const shop = process(service);
    await shop.start(channel);
    let safe: Promise<void> | void = undefined;
    await shop.subscribe('Receipt', channel, (delivery) => {
      safe = delivery.settle({ kind: 'reject', letter: letterOf(delivery, service) });
    });
    await shop.provider.publish([message(channel, { text: 'poison' })]);
    await until('it is rejected', () => safe !== undefined);
    await safe;
    await expect(shop.provider.deadLetters.scan({ limit: 1 })).rejects.toMatchObject({ code: 'EVT_UNSUPPORTED' });
    await expect(shop.provider.deadLetters.remove(['x'])).rejects.toMatchObject({ code: 'EVT_UNSUPPORTED' });
  });

  it('ends the start for an exchange that is missing', async () => {
    const service = `shop-${randomUUID().slice(0, 8)}`;
    await expect(process(service).start(`${service}.nowhere`)).rejects.toMatchObject({
      code: 'EVT_TOPOLOGY',
      message: expect.stringMatching(/nowhere is missing, and topology is 'check'/),
    });
  });

  it('refuses a queue that is missing, and says what to declare', async () => {
    const { service, channel } = await made();
    const shop = process(service);
    await shop.start(channel);
    await expect(shop.subscribe('Unknown', channel)).rejects.toMatchObject({
      code: 'EVT_TOPOLOGY',
      message: expect.stringMatching(/:Unknown is missing.*x-single-active-consumer.*bind it to/),
    });
    // The broker ends the session for it, and no more.
    expect(shop.context.statuses).toEqual(['connected']);
  });

  it('fails a send to an exchange that is missing, alone', async () => {
    const { service, channel } = await made();
    const shop = process(service);
    await shop.start(channel);
    await shop.subscribe('Receipt', channel);
    const failures = await shop.provider.publish([message(`${channel}-other`), message(channel, { text: 'b' })]);
    expect(failures).toMatchObject([{ index: 0, indeterminate: false, error: { code: 'EVT_TOPOLOGY' } }]);
    await until('the other arrives', () => shop.texts.includes('b'));
    expect(shop.context.statuses).toEqual(['connected']);
  });

  it.each([
    [
      "broker: 'artemis'",
      { broker: 'artemis', addresses: undefined },
      /What answers is RabbitMQ .* give it `broker: 'rabbitmq'`/,
    ],
    ["addresses: 'v2'", { addresses: 'v2' }, /has no addresses v2 .*`addresses: 'v1'`/],
  ] as const)('ends the start with %s, and says what to change', async (_what, options, text) => {
    const shop = process('shop', options);
    await expect(shop.start('orders')).rejects.toMatchObject({
      code: 'EVT_INVALID_OPTIONS',
      message: expect.stringMatching(text),
    });
  });

  it('ends the start for a wrong password, and tells none', async () => {
    // RabbitMQ thinks for three seconds before it says no.
    const shop = process('shop', { password: 'wrong', connectTimeout: 10_000 });
    await expect(shop.start('orders')).rejects.toMatchObject({ code: 'EVT_AUTHENTICATION' });
    expect(JSON.stringify(shop.context.lines)).not.toContain('wrong');
  });

  it("is refused without topology: 'check'", () => {
    expect(() => new TestProcess(rabbit, 'shop', { broker: 'rabbitmq', addresses: 'v1' })).toThrow(
      expect.objectContaining({ code: 'EVT_UNSUPPORTED', message: expect.stringContaining("topology: 'check'") }),
    );
  });
});

function letterOf(delivery: Delivery, service: string): DeadLetter {
  const { key, headers, body, time, position } = delivery;
  return {
    ...{ id: position, service, listener: 'Receipt', channel: delivery.channel, reason: 'undecodable', attempts: 0 },
    ...{ error: { name: 'Error', message: textOf(delivery) }, firstFailedAt: 1, deadAt: 2 },
    message: { key, headers, body, time, position },
  };
}
