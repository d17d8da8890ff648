import { amqp } from 'nestjs-eventing/amqp';
import type { ConformanceCluster, ConformanceEnvironment } from 'nestjs-eventing/testing';
import { manage } from '../brokers/artemis/artemis-management.js';
import type { ArtemisAccess } from '../brokers/brokers.js';
import type { BrokerLine } from './broken.broker.js';
import { InstanceNetwork } from './instance.network.js';

/** A real Artemis, shared by all cases; every process has a network of its own, which can be cut. */
export function amqpEnvironment(access: () => ArtemisAccess, line?: BrokerLine): ConformanceEnvironment {
  return {
    name: 'amqp',
    patience: 55_000,
    silence: 500,
    traits: { repeatsBeyondGap: false, repeatsOnMove: false },
    open: () => Promise.resolve(new AmqpArea(access(), line)),
  };
}

class AmqpArea implements ConformanceCluster {
  readonly #networks = new Map<string, InstanceNetwork>();
  readonly #dead = new Set<string>();
  #away = false;

  constructor(
    private readonly access: ArtemisAccess,
    private readonly line: BrokerLine | undefined,
  ) {}

  provider(instance: string): ReturnType<typeof amqp> {
    const network = this.#networks.get(instance) ?? new InstanceNetwork();
    this.#networks.set(instance, network);
    if (this.#away) network.cut();
    const { host, port, username, password } = this.access;
    return amqp({
      ...{ host, port, username, password },
      openSocket: network.open,
      // A broker that is stopped and not dead says nothing: only these tell.
      connectTimeout: 2_000,
      idleTimeout: 3_000,
    });
  }

  crash(instance: string): void {
    this.#dead.add(instance);
    this.#networks.get(instance)?.cut();
  }

  async disconnect(): Promise<void> {
    if (this.line !== undefined) return this.line.disconnect();
    this.#away = true;
    for (const network of this.#networks.values()) network.cut();
  }

  async connect(): Promise<void> {
    if (this.line !== undefined) return this.line.connect();
    this.#away = false;
    for (const [instance, network] of this.#networks) if (!this.#dead.has(instance)) network.mend();
  }

  async makePublishFail(channel: string): Promise<void> {
    await this.#forbid(channel);
  }

  async makeDeadLettersFail(service: string): Promise<() => Promise<void>> {
    const address = `${service}.dead-letters`;
    await this.#forbid(address);
    return async () => void (await manage(this.access, 'broker', 'removeSecuritySettings', [address]));
  }

  async remains(): Promise<readonly string[]> {
    const names = (await manage(this.access, 'broker', 'getQueueNames', [])) as string[];
    // The service's dead letters wait in one too.
    return names.filter((name) => name.includes(':'));
  }

  async close(): Promise<void> {
    for (const network of this.#networks.values()) network.cut();
  }

  /** Nobody may send there; all else is as before. */
  async #forbid(address: string): Promise<void> {
    const all = new Array<string>(9).fill('admin');
    await manage(this.access, 'broker', 'addSecuritySettings', [address, '', ...all]);
  }
}
