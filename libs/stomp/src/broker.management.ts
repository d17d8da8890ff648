import { randomBytes } from 'node:crypto';
import type { Clock } from 'nestjs-eventing';
import { type Frame, headerOf } from './frame.reader.js';
import { header } from './frame.writer.js';
import { StompConnection, subscribeHead } from './stomp.connection.js';
import { StompFault } from './stomp.errors.js';
import type { ResolvedStompOptions } from './stomp.options.js';

const ADDRESS = 'activemq.management';

interface Call {
  resolve(result: unknown): void;
  reject(fault: StompFault): void;
}

/**
 * Operations of Artemis's management, as messages to its address: what STOMP has no frames for. It has a connection of its own,
 * made when it is needed, so that what is refused here disturbs nobody.
 */
export class BrokerManagement {
  private connecting: Promise<StompConnection> | undefined;
  private readonly calls = new Map<string, Call>();
  private readonly tag = randomBytes(6).toString('hex');
  private count = 0;
  private closed = false;

  constructor(
    private readonly options: ResolvedStompOptions,
    private readonly replies: string,
    private readonly clock: Clock,
  ) {}

  /** Connects, if there is no connection. Rejects with a StompFault. */
  async connect(): Promise<StompConnection> {
    if (this.closed) throw new StompFault('the provider is stopped', { refused: false });
    this.connecting ??= this.open();
    const mine = this.connecting;
    try {
      return await mine;
    } catch (error) {
      if (this.connecting === mine) this.connecting = undefined;
      throw error;
    }
  }

  /**
   * @param resource `broker`, `address.orders`, `queue.orders:shop.SendReceipt`
   * @returns what the operation returned
   */
  async call(resource: string, operation: string, ...args: readonly unknown[]): Promise<unknown> {
    const connection = await this.connect();
    const id = `${this.tag}-${++this.count}`;
    const head =
      `SEND\ndestination:${ADDRESS}\n` +
      header('reply-to', this.replies) +
      header('correlation-id', id) +
      header('_AMQ_ResourceName', resource) +
      header('_AMQ_OperationName', operation);
    const answer = new Promise((resolve, reject) => this.calls.set(id, { resolve, reject }));
    const timer = this.clock.setTimeout(() => {
      this.fail(id, new StompFault(`no answer within ${this.options.requestTimeout / 1000} s`, { refused: false }));
      connection.destroy();
    }, this.options.requestTimeout);
    // Its receipt tells which one was refused; that it was taken, the answer does.
    const receipt = connection.receipt((fault) => fault !== undefined && this.fail(id, fault));
    connection.send(head + receipt, Buffer.from(JSON.stringify(args)));
    try {
      return await answer;
    } finally {
      timer.cancel();
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    const connection = await this.connecting?.catch(() => undefined);
    await connection?.close();
  }

  private async open(): Promise<StompConnection> {
    const connection = await StompConnection.open(this.options, this.clock, {
      message: (frame) => this.answered(frame),
    });
    void connection.ended.then((fault) => {
      this.connecting = undefined;
      for (const id of [...this.calls.keys()]) this.fail(id, fault);
    });
    try {
      // Where addresses are not made by use. That there is one already, nobody hears.
      const create = header('_AMQ_ResourceName', 'broker') + header('_AMQ_OperationName', 'createAddress');
      await connection.request(
        `SEND\ndestination:${ADDRESS}\n${create}`,
        Buffer.from(JSON.stringify([this.replies, 'MULTICAST'])),
      );
      await connection.request(
        subscribeHead('replies', this.replies, {
          'subscription-type': 'MULTICAST',
          ack: 'auto',
          selector: `JMSCorrelationID LIKE '${this.tag}-%'`,
        }),
      );
    } catch (error) {
      connection.destroy();
      throw error;
    }
    return connection;
  }

  private answered({ head, body }: Frame): void {
    const id = headerOf(head, 'correlation-id') ?? '';
    const call = this.calls.get(id);
    if (call === undefined) return;
    this.calls.delete(id);
    let result: unknown;
    try {
      const parsed: unknown = body.length === 0 ? [] : JSON.parse(body.toString());
      result = Array.isArray(parsed) ? parsed[0] : parsed;
    } catch (cause) {
      call.reject(new StompFault('its management gave an answer that is no JSON', { refused: false, cause }));
      return;
    }
    if (headerOf(head, '_AMQ_OperationSucceeded') === 'true') call.resolve(result);
    else call.reject(new StompFault(String(result).slice(0, 1_000), { refused: true }));
  }

  private fail(id: string, fault: StompFault): void {
    const call = this.calls.get(id);
    this.calls.delete(id);
    call?.reject(fault);
  }
}
