import { EventingError } from 'nestjs-eventing';
import { BrokerError, isForbidden, isMissing } from './amqp.errors.js';
import { encoded } from './rabbitmq.addresses.js';
import type { RabbitMqManagement, RabbitMqQueueInfo } from './rabbitmq.management.js';

/** A queue as it should be. */
export interface RabbitMqQueuePlan {
  readonly name: string;
  readonly arguments: Readonly<Record<string, string | number | boolean>>;
  readonly bindings: readonly RabbitMqBinding[];
  /** It outlives its processes, and others can have made it. */
  readonly shared: boolean;
}

export interface RabbitMqBinding {
  readonly exchange: string;
  readonly key: string;
}

/** The present connection and what is asked over it; throws EVT_CONNECTION while there is none. */
export interface RabbitMqLine {
  readonly management: RabbitMqManagement;
  /** Rejects with a `BrokerError` where the target is missing, or this user may not send to it. */
  probe(target: string): Promise<void>;
}

/** Exchanges and queues: made where they are missing, or under `check` asked for. */
export class RabbitMqTopology {
  private exchanges = new Set<string>();

  constructor(
    private readonly line: () => RabbitMqLine,
    private readonly mode: 'create' | 'check',
  ) {}

  /** A broker that comes back may have lost everything. */
  forget(): void {
    this.exchanges = new Set();
  }

  /** @param address as links are given it, for a look under `check`: RabbitMQ's management cannot tell of an exchange */
  async ensureExchange(name: string, type: 'topic' | 'direct', address: string): Promise<void> {
    if (this.exchanges.has(name)) return;
    if (this.mode === 'create') await this.makeExchange(name, type);
    else await this.lookForExchange(name, type, address);
    this.exchanges.add(name);
  }

  /** Makes the queue and its bindings, or under `check` looks for it. A queue that does not outlive its processes is always made. */
  async ensureQueue(plan: RabbitMqQueuePlan): Promise<void> {
    if (this.mode === 'check' && plan.shared) return this.lookForQueue(plan);
    const { management } = this.line();
    const wanted = { durable: true, exclusive: false, auto_delete: false, arguments: plan.arguments };
    try {
      await management.request('PUT', pathOf(plan.name), wanted);
    } catch (error) {
      throw unmade(error, `The queue ${plan.name}`, 'Empty and delete it, so that it is made anew.');
    }
    for (const { exchange, key } of plan.bindings)
      await management.request('POST', '/bindings', {
        source: exchange,
        destination_queue: plan.name,
        binding_key: key,
        arguments: {},
      });
  }

  async find(name: string): Promise<RabbitMqQueueInfo | undefined> {
    try {
      const found = await this.line().management.request('GET', pathOf(name));
      return typeof found === 'object' && found !== null ? found : {};
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async countMessages(name: string): Promise<number> {
    return Number((await this.find(name))?.message_count ?? 0);
  }

  /** Only where nobody consumes from it any more. The broker does not do both in one: see the guide's limits. */
  async removeUnused(name: string): Promise<void> {
    if ((await this.find(name))?.consumer_count !== 0) return;
    await this.line().management.request('DELETE', pathOf(name));
  }

  /** Tells what is to be declared. */
  missing({ name, arguments: wanted, bindings }: RabbitMqQueuePlan, cause?: unknown): EventingError {
    const bound = bindings.map(({ exchange, key }) => `to ${exchange} by ${JSON.stringify(key)}`).join(', ');
    return new EventingError(
      'EVT_TOPOLOGY',
      `The queue ${name} is missing, and topology is 'check'. Declare it, durable, with the arguments ${JSON.stringify(wanted)}${bound === '' ? '' : `, and bind it ${bound}`}.`,
      { cause },
    );
  }

  private async makeExchange(name: string, type: string): Promise<void> {
    try {
      const wanted = { type, durable: true, auto_delete: false, internal: false, arguments: {} };
      await this.line().management.request('PUT', `/exchanges/${encoded(name)}`, wanted);
    } catch (error) {
      throw unmade(error, `The exchange ${name}`, 'Delete it, so that it is made anew.');
    }
  }

  private async lookForExchange(name: string, type: string, address: string): Promise<void> {
    try {
      await this.line().probe(address);
    } catch (error) {
      // Who only listens may not send, and is not told more. The queue is looked for when it is read.
      if (error instanceof Error && isForbidden(error)) return;
      if (!isMissing(error)) throw error;
      throw new EventingError(
        'EVT_TOPOLOGY',
        `The exchange ${name} is missing, and topology is 'check'. Declare it: type ${type}, durable.`,
        { cause: error },
      );
    }
  }

  private async lookForQueue(plan: RabbitMqQueuePlan): Promise<void> {
    const found = await this.find(plan.name);
    const described = JSON.stringify(plan.arguments);
    if (found === undefined) throw this.missing(plan);
    const has = (found.arguments ?? {}) as Readonly<Record<string, unknown>>;
    const differ = Object.entries(plan.arguments).filter(([name, value]) => String(has[name]) !== String(value));
    if (differ.length === 0) return;
    const faults = differ.map(([name, value]) => `its ${name} is ${String(has[name])} and should be ${String(value)}`);
    throw new EventingError(
      'EVT_TOPOLOGY',
      `The queue ${plan.name} exists with other arguments: ${faults.join('; ')}. Empty and delete it, and declare it with ${described}.`,
    );
  }
}

function pathOf(queue: string): string {
  return `/queues/${encoded(queue)}`;
}

/** As EVT_TOPOLOGY, where the broker says that what is there is not what is asked for, or that there can be no such thing. */
function unmade(error: unknown, what: string, remedy: string): unknown {
  if (!(error instanceof BrokerError)) return error;
  const { condition, message: said } = error;
  if (condition === 'amqp:precondition-failed')
    return new EventingError('EVT_TOPOLOGY', `${what} exists with other arguments: ${said}. ${remedy}`, {
      cause: error,
    });
  if (condition === 'amqp:invalid-field')
    return new EventingError('EVT_TOPOLOGY', `${what} cannot be made: ${said}.`, { cause: error });
  return error;
}
