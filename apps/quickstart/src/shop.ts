import { type INestApplicationContext, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventingModule, EventingRuntime, type ProviderFactory } from 'nestjs-eventing';
import { NotificationsModule } from './notifications/notifications.module.js';
import { OrdersModule } from './orders/orders.module.js';
import { PaymentsModule } from './payments/payments.module.js';
import { SessionPipeline } from './session/session.pipeline.js';
import type { ServiceAccount } from './story/account.js';
import type { Journal } from './story/journal.js';
import { JournalModule, JournalPipeline } from './story/journal.pipeline.js';

/** In the order in which events flow. */
const SERVICES = [
  { name: 'orders', module: OrdersModule, http: true },
  { name: 'payments', module: PaymentsModule, http: false },
  { name: 'notifications', module: NotificationsModule, http: true },
] as const;

export type ServiceName = (typeof SERVICES)[number]['name'];

export interface Shop {
  readonly services: readonly ServiceAccount[];
  /** Where a service listens. */
  url(service: ServiceName): string;
  /** Stops the services one after the other, so that each still handles what the one before it sent. */
  close(): Promise<void>;
}

interface Running {
  readonly app: INestApplicationContext;
  readonly account: ServiceAccount;
}

/** Starts the services, each a Nest application of its own. In production each has a process and a `main.ts` of its own. */
export async function openShop(provider: ProviderFactory, journal: Journal): Promise<Shop> {
  const starting = SERVICES.map(async ({ name, module, http }): Promise<Running> => {
    const root = rootModule(name, module, provider, journal);
    if (!http) {
      const app = await NestFactory.createApplicationContext(root, { abortOnError: false });
      return { app, account: accountOf(name, app) };
    }
    const app = await NestFactory.create(root, { abortOnError: false });
    await app.listen(0, '127.0.0.1');
    return { app, account: { ...accountOf(name, app), url: await app.getUrl() } };
  });

  const settled = await Promise.allSettled(starting);
  const running = settled.flatMap((service) => (service.status === 'fulfilled' ? [service.value] : []));
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= closeInOrder(running.map(({ app }) => app)));
  const failed = settled.find((service) => service.status === 'rejected');
  if (failed !== undefined) {
    await close();
    throw failed.reason;
  }

  const services = running.map(({ account }) => account);
  const url = (service: ServiceName): string => services.find(({ name }) => name === service)?.url ?? '';
  return { services, url, close };
}

async function closeInOrder(apps: readonly INestApplicationContext[]): Promise<void> {
  for (const app of apps) await app.close();
}

/** All that a service needs in order to send and to listen is `EventingModule.forRoot`, once, beside its own module. */
function rootModule(service: ServiceName, module: Type, provider: ProviderFactory, journal: Journal): Type {
  @Module({
    imports: [
      EventingModule.forRoot({
        service,
        provider,
        pipelines: [SessionPipeline, JournalPipeline],
      }),
      JournalModule.for(service, journal),
      module,
    ],
  })
  class RootModule {}
  return RootModule;
}

function accountOf(name: ServiceName, app: INestApplicationContext): ServiceAccount {
  const listeners = app
    .get(EventingRuntime)
    .announcements.map(({ listener, events, retry, deadLetters }) => ({ listener, events, retry, deadLetters }));
  return { name, listeners };
}
