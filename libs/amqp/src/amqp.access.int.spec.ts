import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type ArtemisBroker, type ArtemisUser, startOwnArtemis } from '../../../test/brokers/brokers.js';
import { message, TestProcess, until } from './amqp.fixture.js';

const PATIENT = { timeout: 300_000 };
const MANAGEMENT = {
  'activemq.management': ['send', 'manage'],
  'activemq.management.#': ['send', 'manage'],
} as const;
/** What a service needs under `topology: 'check'`, where others made its addresses and queues. */
const LEAST: ArtemisUser = {
  username: 'least',
  password: 'least-password',
  permissions: {
    '#': ['createNonDurableQueue', 'deleteNonDurableQueue', 'createAddress', 'consume', 'send', 'browse'],
    ...MANAGEMENT,
  },
};
const READER: ArtemisUser = { username: 'reader', password: 'reader-password', permissions: { '#': ['consume'] } };

describe('users with few rights', PATIENT, () => {
  let artemis: ArtemisBroker | undefined;
  const processes: TestProcess[] = [];

  beforeAll(async () => {
    const had = await startOwnArtemis({ tls: true, users: [LEAST, READER] });
    if (had.available) artemis = had;
  }, PATIENT.timeout);
  beforeEach(({ skip }) => skip(!artemis, 'no Artemis'));
  afterEach(async () => {
    await Promise.all(processes.splice(0).map((process) => process.stop()));
  });
  afterAll(() => artemis?.close());

  function process(
    ...given: ConstructorParameters<typeof TestProcess> extends [unknown, ...infer Rest] ? Rest : never
  ) {
    const one = new TestProcess((artemis as ArtemisBroker).access, ...given);
    processes.push(one);
    return one;
  }

  it('are told which right is missing, and the start ends', async () => {
    const { username, password } = READER;
    await expect(process('shop', { username, password }).start('forbidden')).rejects.toMatchObject({
      code: 'EVT_AUTHENTICATION',
      message: expect.stringMatching(/does not have permission=.*docs\/providers\/amqp\.md/),
    });
  });

  it("do everything under topology: 'check' once an administrator has made the rest", async () => {
    const maker = process('shop');
    await maker.start('orders');
    await (await maker.subscribe('Receipt', 'orders')).stop();
    const { username, password } = LEAST;
    const shop = process('shop', { username, password }, { topology: 'check' });
    await shop.start('orders');
    await shop.subscribe('Receipt', 'orders');
    await shop.subscribe('Cache', 'orders', undefined, { perProcess: true, durable: false });
    await shop.provider.publish([message('orders')]);
    await until('both have it', () => shop.deliveries.length === 2);
    expect(shop.texts).toEqual(['body', 'body']);
  });

  it('speak TLS with a broker whose certificate they can verify, and with no other', async () => {
    const { tls } = (artemis as ArtemisBroker).access;
    const port = tls?.port ?? 0;
    await process('shop', { port, tls: { ca: tls?.ca } }).start('orders');
    await expect(process('shop', { port, tls: true }).start('orders')).rejects.toMatchObject({
      code: 'EVT_CONNECTION',
      message: expect.stringContaining('`tls` of amqp({ … })'),
    });
  });
});
