import { EventingError, type ProviderLogger } from 'nestjs-eventing';
import { isForbidden, isMissing } from './amqp.errors.js';
import { checkAddress } from './amqp.names.js';
import type { Management } from './artemis.management.js';

export interface QueuePlan {
  readonly name: string;
  readonly address: string;
  readonly routing: 'MULTICAST' | 'ANYCAST';
  readonly durable: boolean;
  /** One consumer at a time, another one when it leaves: this is what keeps the order of keys. */
  readonly exclusive: boolean;
  /** A newer message of the same value in this property takes the place of the older one. */
  readonly lastValueKey?: string;
  /** Milliseconds for which it stays without consumers. */
  readonly grace?: number;
}

/** Of all settings, those that are looked at. */
interface AddressSettings {
  readonly maxDeliveryAttempts?: number;
  readonly deadLetterAddress?: string;
}

/** Addresses and queues: made where they are missing, or under `check` asked for. */
export class AmqpTopology {
  /** Addresses seen since the last connection. */
  private known = new Set<string>();
  private readonly warned = new Set<string>();

  constructor(
    private readonly management: () => Promise<Management>,
    private readonly mode: 'create' | 'check',
    private readonly logger: ProviderLogger,
  ) {}

  /** A broker that comes back may have lost everything. */
  forget(): void {
    this.known = new Set();
  }

  /** Rejects with EVT_TOPOLOGY where the address is missing and must not be made, or is of another kind. */
  async ensureAddress(address: string, routing: QueuePlan['routing'] = 'MULTICAST'): Promise<void> {
    if (this.known.has(address)) return;
    checkAddress(address);
    const management = await this.management();
    let kinds = await this.routingTypes(management, address);
    if (kinds === undefined) {
      if (this.mode === 'check')
        throw new EventingError(
          'EVT_TOPOLOGY',
          `The address ${address} is missing, and topology is 'check'. Make it: artemis address create --name ${address} --${routing === 'MULTICAST' ? 'multicast --no-anycast' : 'anycast --no-multicast'}`,
        );
      // Another process may be quicker.
      await management.call('broker', 'createAddress', address, routing).catch((error: unknown) => {
        if (!(error instanceof Error && /AMQ229204/.test(error.message))) throw error;
      });
      kinds = await this.routingTypes(management, address);
    }
    if (kinds !== undefined && !kinds.includes(routing))
      throw new EventingError(
        'EVT_TOPOLOGY',
        `The address ${address} is ${kinds.join(', ')} and should be ${routing}. Remove it, or let it be both: artemis address update --name ${address} --${routing.toLowerCase()}`,
      );
    await this.neverGiveUp(management, address);
    this.known.add(address);
  }

  /** Makes the queue, or under `check` looks for it. A queue that cannot be shared with others is always made. */
  async declare(plan: QueuePlan): Promise<void> {
    await this.ensureAddress(plan.address, plan.routing);
    const management = await this.management();
    if (this.mode === 'check' && plan.durable) {
      if ((await this.find(plan.name)) === undefined)
        throw new EventingError(
          'EVT_TOPOLOGY',
          `The queue ${plan.name} of the address ${plan.address} is missing, and topology is 'check'. Make it: ${creation(plan)}`,
        );
      return;
    }
    const settings = {
      name: plan.name,
      address: plan.address,
      'routing-type': plan.routing,
      durable: plan.durable,
      exclusive: plan.exclusive,
      'auto-create-address': true,
      // Keys travel as group ids. Of groups the broker would remember each one for ever.
      'group-buckets': 0,
      'auto-delete': plan.grace !== undefined,
      ...(plan.grace === undefined ? {} : { 'auto-delete-delay': plan.grace, 'auto-delete-message-count': -1 }),
      ...(plan.lastValueKey === undefined ? {} : { 'last-value': true, 'last-value-key': plan.lastValueKey }),
    };
    await management.call('broker', 'createQueue', JSON.stringify(settings), true);
  }

  /** Rejects where the queue is not as planned: it was there before, or a link without it made one of another kind. */
  async verify(plan: QueuePlan): Promise<void> {
    const found = await this.find(plan.name);
    if (found === undefined) throw new Error(`the queue ${plan.name} is gone`);
    const faults: string[] = [];
    const expect = (what: string, is: unknown, wanted: unknown): void => {
      if (String(is) !== String(wanted)) faults.push(`its ${what} is ${String(is)} and should be ${String(wanted)}`);
    };
    expect('address', found['address'], plan.address);
    expect('routing type', found['routingType'], plan.routing);
    if (plan.durable) expect('durable', found['durable'], true);
    if (plan.exclusive) expect('exclusive', found['exclusive'], true);
    if (plan.durable) expect('auto-delete', found['autoDelete'], false);
    expect('filter', found['filter'] ?? '', '');
    if (plan.lastValueKey !== undefined) expect('last-value-key', found['lastValueKey'], plan.lastValueKey);
    if (faults.length > 0)
      throw new EventingError(
        'EVT_TOPOLOGY',
        `The queue ${plan.name} exists with other arguments: ${faults.join('; ')}. Empty and delete it so that it is made anew, or update it: artemis queue update --name ${plan.name}`,
      );
  }

  /** As the broker lists it; undefined where there is none of this name. */
  async find(name: string): Promise<Readonly<Record<string, unknown>> | undefined> {
    return (await this.list('EQUALS', name)).find((queue) => queue['name'] === name);
  }

  /** Queues whose names begin so. */
  async findAll(prefix: string): Promise<readonly string[]> {
    const names = (await this.list('CONTAINS', prefix)).map((queue) => String(queue['name']));
    return names.filter((name) => name.startsWith(prefix));
  }

  async countMessages(name: string): Promise<number> {
    const management = await this.management();
    return Number(await management.call(`queue.${name}`, 'getMessageCount'));
  }

  /** Only where nobody consumes from it any more. */
  async removeUnused(name: string): Promise<void> {
    const management = await this.management();
    await management.call('broker', 'destroyQueue', name, false, false);
  }

  private async list(operation: string, value: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const management = await this.management();
    const filter = JSON.stringify({ field: 'name', operation, value });
    const answer = await management.call('broker', 'listQueues', filter, 1, 10_000);
    const { data } = JSON.parse(String(answer)) as { readonly data?: unknown };
    return Array.isArray(data) ? (data as Readonly<Record<string, unknown>>[]) : [];
  }

  private async routingTypes(management: Management, address: string): Promise<readonly string[] | undefined> {
    try {
      const answer = await management.call(`address.${address}`, 'getRoutingTypesAsJSON');
      return JSON.parse(String(answer)) as string[];
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /**
   * A broker moves a message away after ten deliveries that a crash ended, to where nobody looks, or drops it. Whether an event is
   * given up is the kernel's to decide. All other settings of the address stay what they are.
   */
  private async neverGiveUp(management: Management, address: string): Promise<void> {
    const answer = await management.call('broker', 'getAddressSettingsAsJSON', address);
    const settings = JSON.parse(String(answer)) as AddressSettings;
    if (settings.maxDeliveryAttempts === -1) return;
    if (this.mode === 'create')
      try {
        const changed = JSON.stringify({ ...settings, maxDeliveryAttempts: -1 });
        await management.call('broker', 'addAddressSettings', address, changed);
        return;
      } catch (error) {
        if (!(error instanceof Error && isForbidden(error))) throw error;
      }
    if (this.warned.has(address)) return;
    this.warned.add(address);
    const { maxDeliveryAttempts: most = 10, deadLetterAddress: where = '(none: it drops it)' } = settings;
    this.logger.warn(
      `EVT_TOPOLOGY: After ${most} crashes the broker moves an event of ${address} to its own dead-letter address ${where}, where no listener and no scan sees it. Set max-delivery-attempts to -1 for ${address}.`,
    );
  }
}

function creation(plan: QueuePlan): string {
  const kind = plan.routing === 'MULTICAST' ? '--multicast' : '--anycast';
  const last = plan.lastValueKey === undefined ? '' : ` --last-value --last-value-key ${plan.lastValueKey}`;
  return `artemis queue create --name ${plan.name} --address ${plan.address} ${kind} --durable --preserve-on-no-consumers${plan.exclusive ? ' --exclusive' : ''} --group-buckets 0${last}`;
}
