import { stomp } from 'nestjs-eventing/stomp';
import type { ConformanceCluster, ConformanceEnvironment } from 'nestjs-eventing/testing';
import { type ArtemisLogin, manage } from '../brokers/artemis/artemis-management.js';
import type { BrokerLine } from './broken.broker.js';
import { InstanceNetwork } from './instance.network.js';

/** Short, so that crashes and silence are not waited for. */
const HEARTBEAT = 500;

export interface StompAccess extends ArtemisLogin {
  readonly stompPort?: number | undefined;
}

/** A real Artemis, shared by all cases; every process has a network of its own, which can be cut. */
export function stompEnvironment(access: () => StompAccess, line?: BrokerLine): ConformanceEnvironment {
  return {
    name: 'stomp',
    patience: 55_000,
    silence: 500,
    traits: {
      repeatsBeyondGap: false,
      repeatsOnMove: false,
      // By heart-beats: the broker waits for twice as long, at least for a second.
      ownershipTimeout: 1_000,
    },
    open: () => Promise.resolve(new StompArea(access(), line)),
  };
}

class StompArea implements ConformanceCluster {
  readonly #networks = new Map<string, InstanceNetwork>();
  readonly #dead = new Set<string>();
  #away = false;

  constructor(
    private readonly access: StompAccess,
    private readonly line: BrokerLine | undefined,
  ) {}

  provider(instance: string): ReturnType<typeof stomp> {
    const network = this.#networks.get(instance) ?? new InstanceNetwork();
    this.#networks.set(instance, network);
    if (this.#away) network.cut();
    const { host, stompPort, username, password } = this.access;
    return stomp({
      host,
      port: stompPort ?? 0,
      username,
      password,
      openSocket: network.open,
      heartbeat: HEARTBEAT,
      connectTimeout: 2_000,
      requestTimeout: 5_000,
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

  /** An address to which nobody may send. */
  async makePublishFail(channel: string): Promise<void> {
    await this.#allowSending(channel, 'nobody');
  }

  async makeDeadLettersFail(service: string): Promise<() => Promise<void>> {
    const address = `${service}.dead-letters`;
    await this.#allowSending(address, 'nobody');
    return async () => {
      await manage(this.access, 'broker', 'removeSecuritySettings', [address]);
    };
  }

  async remains(): Promise<readonly string[]> {
    const names = (await manage(this.access, 'broker', 'getQueueNames', [])) as readonly string[];
    // The dead letters are no subscription's.
    return names.filter((name) => !name.endsWith('.dead-letters'));
  }

  async close(): Promise<void> {
    for (const network of this.#networks.values()) network.cut();
  }

  async #allowSending(address: string, role: string): Promise<void> {
    const others = Array.from({ length: 6 }, () => 'admin');
    await manage(this.access, 'broker', 'addSecuritySettings', [address, role, ...others]);
  }
}
