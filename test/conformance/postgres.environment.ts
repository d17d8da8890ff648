import { Client } from 'pg';
import type { ProviderFactory } from 'nestjs-eventing';
import { postgres } from 'nestjs-eventing/postgres';
import type { ConformanceCluster, ConformanceEnvironment } from 'nestjs-eventing/testing';
import type { PostgresAccess } from '../brokers/brokers.js';
import { TcpProxy } from '../brokers/tcp-proxy.js';
import type { BrokerLine } from './broken.broker.js';

/** How long a process may be silent before its partitions move. Short, so that crashes are not waited for. */
const LEASE_TIME = 3_000;
/** No case has more processes. */
const PROCESSES = 12;
const PARTITIONS = 6;

/** A real PostgreSQL, shared by all cases; every process has a way of its own to it, which can be cut. */
export function postgresEnvironment(access: () => PostgresAccess, line?: BrokerLine): ConformanceEnvironment {
  return {
    name: 'postgres',
    patience: 30_000,
    silence: 700,
    traits: {
      countsCrashes: true,
      repeatsBeyondGap: false,
      repeatsOnMove: false,
      windowCountsFromGap: true,
      movesSources: true,
      ownershipTimeout: LEASE_TIME,
    },
    async open() {
      const proxies = await Promise.all(Array.from({ length: PROCESSES }, () => TcpProxy.open(access())));
      return new PostgresArea(access(), proxies, line);
    },
  };
}

class PostgresArea implements ConformanceCluster {
  readonly #proxies = new Map<string, TcpProxy>();
  readonly #dead = new Set<string>();
  #away = false;

  constructor(
    private readonly access: PostgresAccess,
    private readonly free: TcpProxy[],
    private readonly line: BrokerLine | undefined,
  ) {}

  provider(instance: string): ProviderFactory {
    let proxy = this.#proxies.get(instance);
    if (proxy === undefined) {
      proxy = this.free.pop();
      if (proxy === undefined) throw new Error('This case has more processes than there are proxies.');
      this.#proxies.set(instance, proxy);
      if (this.#away) proxy.cut();
    }
    const { user, password, database } = this.access;
    return postgres({
      host: '127.0.0.1',
      port: proxy.port,
      user,
      password,
      database,
      poolSize: 3,
      partitions: PARTITIONS,
      leaseTime: LEASE_TIME,
      heartbeatInterval: LEASE_TIME / 8,
      // A server that is stopped and not dead says nothing: only these tell.
      connectionTimeout: 2_000,
      statementTimeout: 4_000,
      livenessInterval: 1_000,
      livenessTimeout: 3_000,
    });
  }

  crash(instance: string): void {
    this.#dead.add(instance);
    this.#proxies.get(instance)?.cut();
  }

  async disconnect(): Promise<void> {
    if (this.line !== undefined) return this.line.disconnect();
    this.#away = true;
    for (const proxy of this.#proxies.values()) proxy.cut();
  }

  async connect(): Promise<void> {
    if (this.line !== undefined) return this.line.connect();
    this.#away = false;
    for (const [instance, proxy] of this.#proxies) if (!this.#dead.has(instance)) proxy.mend();
  }

  /** The table refuses what is for this channel, and with it the whole statement. */
  async makePublishFail(channel: string): Promise<void> {
    await this.#refuse('events', 'channel', channel);
  }

  async makeDeadLettersFail(service: string): Promise<() => Promise<void>> {
    const constraint = await this.#refuse('dead_letters', 'service', service);
    return () => this.#use((client) => client.query(`ALTER TABLE eventing.dead_letters DROP CONSTRAINT ${constraint}`));
  }

  async remains(): Promise<readonly string[]> {
    let names: string[] = [];
    await this.#use(async (client) => {
      const { rows } = await client.query<{ name: string }>(
        `SELECT name FROM eventing.subscriptions UNION SELECT subscription FROM eventing.members
         UNION SELECT target FROM eventing.deferred`,
      );
      names = rows.map(({ name }) => name);
    });
    return names;
  }

  close(): Promise<void> {
    for (const proxy of [...this.#proxies.values(), ...this.free]) proxy.close();
    return Promise.resolve();
  }

  async #refuse(table: string, column: string, value: string): Promise<string> {
    const constraint = `refuse_${value.replaceAll(/[^a-z0-9]/g, '_')}`;
    await this.#use((client) =>
      client.query(
        `ALTER TABLE eventing.${table} ADD CONSTRAINT ${constraint} CHECK (${column} <> ${client.escapeLiteral(value)}) NOT VALID`,
      ),
    );
    return constraint;
  }

  async #use(work: (client: Client) => Promise<unknown>): Promise<void> {
    const client = new Client({ connectionString: this.access.connectionString });
    await client.connect();
    try {
      await work(client);
    } finally {
      await client.end();
    }
  }
}
