import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EventProvider, ProviderFactory } from 'nestjs-eventing';
import { contextOf, message, subscriptionOf, textOf } from '../../eventing/src/provider/provider.fixture.js';
import { acceptAll, Received, until } from './postgres.fixture.js';
import { embedded, migrate } from './postgres.js';

const CHANNELS = [{ name: 'orders', durable: true }];

async function started(factory: ProviderFactory): Promise<EventProvider> {
  const provider = factory.create(contextOf('shop'));
  await provider.start(CHANNELS);
  return provider;
}

describe('a database in a folder', () => {
  let dataDir: string;
  beforeAll(async () => void (dataDir = join(await mkdtemp(join(tmpdir(), 'evt-embedded-')), 'events')));
  afterAll(() => rm(join(dataDir, '..'), { recursive: true, force: true }));

  it('is made by migrate(), shared by the providers of one factory, and kept', async () => {
    expect(await migrate({ dataDir })).toContain('0001-log');
    expect(await migrate({ dataDir })).toEqual([]);
    const factory = embedded({ dataDir });
    const [one, two] = [await started(factory), await started(factory)];
    const got = new Received(acceptAll);
    const subscriber = {
      deliver: (delivery: Parameters<typeof acceptAll>[0]) => got.deliver(delivery),
      revoked: () => Promise.resolve(),
    };
    const handle = await one.subscribe(subscriptionOf('Receipt', 'orders'), subscriber);
    expect(await two.publish([message('orders', { text: 'first' })])).toEqual([]);
    await until('it arrives', () => got.texts.length === 1);
    await handle.stop();
    await one.stop();
    expect(await two.publish([message('orders', { text: 'second' })])).toEqual([]);
    await two.stop();

    const again = await started(embedded({ dataDir }));
    const next = await again.subscribe(subscriptionOf('Receipt', 'orders'), subscriber);
    await until('what was stored meanwhile arrives', () => got.texts.length === 2);
    expect(got.deliveries.map(textOf)).toEqual(['first', 'second']);
    await next.stop();
    await again.stop();
    expect((await readdir(dataDir)).filter((name) => name.endsWith('.sock'))).toEqual([]);
  });

  it('is had by one at a time, and free after it', async () => {
    const holder = await started(embedded({ dataDir }));
    const other = embedded({ dataDir }).create(contextOf('shop'));
    await expect(other.start(CHANNELS)).rejects.toMatchObject({
      code: 'EVT_FOLDER_LOCKED',
      message: expect.stringContaining(dataDir) as string,
    });
    await other.stop();
    await expect(migrate({ dataDir })).rejects.toMatchObject({ code: 'EVT_FOLDER_LOCKED' });
    await holder.stop();
    await (await started(embedded({ dataDir }))).stop();
  });

  it('is stopped before it was started, and twice', async () => {
    const never = embedded({ dataDir }).create(contextOf('shop'));
    await Promise.all([never.stop(), never.stop()]);
    const during = embedded({ dataDir }).create(contextOf('shop'));
    const starting = during.start(CHANNELS).catch((error: unknown) => error);
    await during.stop();
    expect(await starting).toMatchObject({ code: 'EVT_NOT_RUNNING' });
    await (await started(embedded({ dataDir }))).stop();
  });
});
