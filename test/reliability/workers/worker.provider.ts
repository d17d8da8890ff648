import type { ProviderFactory } from 'nestjs-eventing';
import { kafka } from 'nestjs-eventing/kafka';
import { postgres } from 'nestjs-eventing/postgres';
import { rabbitmq } from 'nestjs-eventing/rabbitmq';
import { setup } from './worker.argument.js';
import { LEASE, SESSION, type SystemName } from './worker.setup.js';

const CONNECTING = { connectionTimeout: 2_000 };

/** What carries the events, with short leases: a run has no time for long ones. */
export function providerOfSystem(): ProviderFactory {
  const { system, database, broker } = setup;
  const providers: Readonly<Record<SystemName, () => ProviderFactory>> = {
    postgres: () =>
      postgres({
        connectionString: database,
        partitions: 6,
        poolSize: 8,
        leaseTime: LEASE,
        heartbeatInterval: LEASE / 8,
        ...CONNECTING,
      }),
    rabbitmq: () => rabbitmq({ url: broker, partitions: 4, heartbeat: 1_000, ...CONNECTING }),
    kafka: () =>
      kafka({
        brokers: broker.split(','),
        partitions: 4,
        transactions: true,
        transactionTimeout: 10_000,
        sessionTimeout: SESSION,
        heartbeatInterval: 500,
        ...CONNECTING,
      }),
  };
  return providers[system]();
}
