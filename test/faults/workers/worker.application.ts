import { once } from 'node:events';
import type { INestApplicationContext, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventingModule } from 'nestjs-eventing';
import { kafka, type KafkaOptions } from 'nestjs-eventing/kafka';
import { setup } from './worker.argument.js';
import { COMMIT_INTERVAL, PARTITIONS, SESSION_TIMEOUT } from './worker.setup.js';

/** Resolves when the process is asked to end. Listened for from the first moment on. */
export const asked = once(process, 'SIGTERM').then(() => undefined);

/** A Nest application as a user would write it, on the broker of the test. */
export async function startApplication(
  providers: Type[],
  network: Pick<KafkaOptions, 'openSocket'> = {},
): Promise<INestApplicationContext> {
  const { brokers, service, publishTimeout } = setup;
  class WorkerModule {}
  return NestFactory.createApplicationContext(
    {
      module: WorkerModule,
      imports: [
        EventingModule.forRoot({
          service,
          publishTimeout,
          provider: kafka({
            brokers,
            partitions: PARTITIONS,
            sessionTimeout: SESSION_TIMEOUT,
            heartbeatInterval: 500,
            commitInterval: COMMIT_INTERVAL,
            connectionTimeout: 2_000,
            ...network,
          }),
        }),
      ],
      providers,
    },
    { abortOnError: false },
  );
}
