import { EventingError, type ProviderLogger } from 'nestjs-eventing';
import type { BrokerManagement } from './broker.management.js';
import { StompFault } from './stomp.errors.js';

const EXISTS = /AMQ229204|AMQ229019|already exists/;
const MISSING = /AMQ229203|AMQ229067|Does Not Exist|Cannot find resource/i;

/** What a queue has to be. */
export interface QueuePlan {
  readonly name: string;
  readonly address: string;
  readonly routing: 'MULTICAST' | 'ANYCAST';
  readonly durable: boolean;
  /** One consumer at a time. */
  readonly exclusive: boolean;
  /** Milliseconds after which it is gone once nobody consumes from it; undefined: it stays. */
  readonly autoDelete?: number;
  /** The property by which a later message takes the place of an earlier one; reading such a queue takes nothing away. */
  readonly storeBy?: string;
}

/** Addresses of events are the service's own to make, under `topology: 'create'`; under `'check'` they have to be there. */
export class BrokerTopology {
  private readonly known = new Map<string, Promise<void>>();
  private readonly there = new Set<string>();
  private readonly warned = new Set<string>();

  constructor(
    private readonly management: BrokerManagement,
    private readonly mode: 'create' | 'check',
    private readonly logger: ProviderLogger,
  ) {}

  /** It is there: nothing has to be awaited. */
  isKnown(address: string): boolean {
    return this.there.has(address);
  }

  /** The broker may have come back without them. */
  async again(): Promise<void> {
    const addresses = [...new Set([...this.there, ...this.known.keys()])];
    this.known.clear();
    await this.addresses(addresses);
  }

  /** Rejects with EVT_TOPOLOGY, or a StompFault. */
  async addresses(addresses: Iterable<string>): Promise<void> {
    await Promise.all([...addresses].map((address) => this.address(address)));
  }

  address(address: string): Promise<void> {
    let known = this.known.get(address);
    if (known === undefined) {
      known = this.mode === 'create' ? this.createAddress(address) : this.checkAddress(address);
      this.known.set(address, known);
      known.then(
        () => this.there.add(address),
        () => this.known.delete(address),
      );
    }
    return known;
  }

  async queue(plan: QueuePlan): Promise<void> {
    const { name, address, routing, durable, exclusive, autoDelete, storeBy } = plan;
    // The address of a queue that nothing but it hangs on.
    if (routing === 'ANYCAST' && this.mode === 'create') await this.createAddress(address, routing);
    if (this.mode === 'create' || !durable) {
      const arguments_ = {
        ...{ name, address, 'routing-type': routing, durable, exclusive, 'auto-create-address': false },
        // Keys bind no messages to a consumer: where their order counts, there is one.
        'group-buckets': 0,
        ...(autoDelete === undefined
          ? { 'auto-delete': false }
          : { 'auto-delete': true, 'auto-delete-delay': autoDelete, 'auto-delete-message-count': -1 }),
        ...(storeBy === undefined ? {} : { 'last-value': true, 'last-value-key': storeBy, 'non-destructive': true }),
      };
      try {
        await this.management.call('broker', 'createQueue', JSON.stringify(arguments_), false);
        return;
      } catch (error) {
        if (!(error instanceof StompFault) || !EXISTS.test(error.text)) throw error;
      }
    }
    await this.checkQueue(plan);
  }

  /** The queues that are bound to an address; none, where there is no such address. */
  async queuesOf(address: string): Promise<readonly string[]> {
    try {
      const names = await this.management.call(`address.${address}`, 'getQueueNames');
      return Array.isArray(names) ? names.filter((name) => typeof name === 'string') : [];
    } catch (error) {
      if (error instanceof StompFault && error.refused && MISSING.test(error.text)) return [];
      throw error;
    }
  }

  private async createAddress(address: string, routing: QueuePlan['routing'] = 'MULTICAST'): Promise<void> {
    // Else the broker's own dead letters would take a message that came back ten times, and a queue be made by a misspelled name.
    const settings = {
      maxDeliveryAttempts: -1,
      autoCreateQueues: false,
      autoDeleteQueues: false,
      autoDeleteAddresses: false,
    };
    if (await this.exists(address)) return this.keepAttempts(address);
    await this.management.call('broker', 'addAddressSettings', address, JSON.stringify(settings));
    try {
      await this.management.call('broker', 'createAddress', address, routing);
    } catch (error) {
      if (!(error instanceof StompFault) || !EXISTS.test(error.text)) throw error;
    }
  }

  private async checkAddress(address: string): Promise<void> {
    if (!(await this.exists(address)))
      throw new EventingError(
        'EVT_TOPOLOGY',
        `There is no address ${address}, and topology: 'check' creates none. Create it: artemis address create --name ${address} --multicast --no-anycast`,
      );
    await this.keepAttempts(address);
  }

  private async exists(address: string): Promise<boolean> {
    try {
      await this.management.call('broker', 'getAddressInfo', address);
      return true;
    } catch (error) {
      if (error instanceof StompFault && error.refused && MISSING.test(error.text)) return false;
      throw error;
    }
  }

  /** Whether an event is given up is the kernel's to decide. All other settings of an address that is there stay what they are. */
  private async keepAttempts(address: string): Promise<void> {
    const settings = fields(parse(await this.management.call('broker', 'getAddressSettingsAsJSON', address)));
    const attempts = settings['maxDeliveryAttempts'];
    if (attempts === -1) return;
    if (this.mode === 'create')
      try {
        const changed = JSON.stringify({ ...settings, maxDeliveryAttempts: -1 });
        await this.management.call('broker', 'addAddressSettings', address, changed);
        return;
      } catch (error) {
        if (!(error instanceof StompFault) || !error.refused) throw error;
      }
    if (this.warned.has(address)) return;
    this.warned.add(address);
    this.logger.warn(
      `EVT_TOPOLOGY: After ${text(attempts ?? 10)} crashes the broker moves an event of ${address} to its own dead letters ` +
        `(${text(settings['deadLetterAddress'] ?? 'none: it drops it')}), where no scan sees it. Set max-delivery-attempts to -1 for ${address}.`,
    );
  }

  private async checkQueue(plan: QueuePlan): Promise<void> {
    const { name, address, routing, durable, exclusive } = plan;
    const filter = JSON.stringify({ field: 'NAME', operation: 'EQUALS', value: name });
    const listed = fields(parse(await this.management.call('broker', 'listQueues', filter, 1, 10)));
    const [found] = Array.isArray(listed['data']) ? listed['data'].map(fields) : [];
    if (found === undefined)
      throw new EventingError(
        'EVT_TOPOLOGY',
        `There is no queue ${name} at the address ${address}, and topology: 'check' creates none. Create it: artemis queue create ` +
          `--name ${name} --address ${address} --${routing.toLowerCase()} ${durable ? '--durable ' : ''}--preserve-on-no-consumers` +
          (exclusive ? ', with exclusive set' : ''),
      );
    const wanted: Record<string, string> = { address, routingType: routing, durable: String(durable) };
    wanted['exclusive'] = String(exclusive);
    wanted['filter'] = '';
    if (plan.storeBy !== undefined) wanted['lastValueKey'] = plan.storeBy;
    const wrong = Object.entries(wanted)
      .filter(([field, value]) => found[field] !== undefined && text(found[field]) !== value)
      .map(([field, value]) => `${field} is ${text(found[field])} and has to be ${value}`);
    if (wrong.length > 0)
      throw new EventingError(
        'EVT_TOPOLOGY',
        `The queue ${name} is there and is not as it should be: ${wrong.join('; ')}. Let it run empty and delete it, or change it with ` +
          '`artemis queue update`.',
      );
  }
}

function parse(json: unknown): unknown {
  if (typeof json !== 'string') return json;
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

function fields(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
