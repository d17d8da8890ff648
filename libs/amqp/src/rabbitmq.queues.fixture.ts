import rhea, { type Message } from 'rhea';

// What RabbitMQ keeps, as far as its documentation of AMQP 1.0, queues, streams and exchanges says it: a mock, for `rabbitmq.peer.fixture.ts`.

export interface Stored {
  readonly place: number;
  readonly message: Message;
  /** Deliveries that a lost connection ended. */
  deliveryCount: number;
}

/** A link that reads. */
export interface Reader {
  readonly queue: PeerQueue;
  /** In a stream, the next. */
  offset: number;
  readonly unsettled: Map<number, Stored>;
  canSend(): boolean;
  send(payload: Buffer): number;
}

export class PeerQueue {
  readonly readers: Reader[] = [];
  readonly log: Stored[] = [];
  ready: Stored[] = [];
  private places = 0;
  private turn = 0;
  private dispatching: NodeJS.Immediate | undefined;

  constructor(
    readonly name: string,
    readonly args: Readonly<Record<string, unknown>>,
  ) {}

  get isStream(): boolean {
    return this.args['x-queue-type'] === 'stream';
  }

  push(message: Message): void {
    const stored = { place: this.places++, message, deliveryCount: 0 };
    if (this.isStream) this.log.push(stored);
    else this.ready.push(stored);
    this.dispatch();
  }

  /** Back to its place. */
  giveBack(stored: readonly Stored[]): void {
    this.ready = [...stored, ...this.ready].sort((a, b) => a.place - b.place);
    this.dispatch();
  }

  leave(reader: Reader, isLost: boolean): void {
    const at = this.readers.indexOf(reader);
    if (at < 0) return;
    this.readers.splice(at, 1);
    const unsettled = [...reader.unsettled.values()];
    reader.unsettled.clear();
    if (this.isStream) return;
    // Of a quorum queue, as documented; a classic one counts nothing.
    if (isLost && this.args['x-queue-type'] === 'quorum') for (const each of unsettled) each.deliveryCount++;
    this.giveBack(unsettled);
  }

  /** When everything that came in one piece has been looked at, as a broker does that takes frames one by one. */
  dispatch(): void {
    this.dispatching ??= setImmediate(() => {
      this.dispatching = undefined;
      this.deliver();
    });
  }

  private deliver(): void {
    if (this.isStream) {
      for (const reader of this.readers) this.feed(reader);
      return;
    }
    const single = this.args['x-single-active-consumer'] === true;
    const readers = single ? this.readers.slice(0, 1) : this.readers;
    for (let idle = 0; idle < readers.length && this.ready.length > 0;) {
      const reader = readers[this.turn++ % readers.length] as Reader;
      if (!reader.canSend()) {
        idle++;
        continue;
      }
      idle = 0;
      const stored = this.ready.shift() as Stored;
      reader.unsettled.set(reader.send(payloadOf(stored)), stored);
    }
  }

  private feed(reader: Reader): void {
    while (reader.canSend()) {
      const stored = this.log[reader.offset];
      if (stored === undefined) return;
      reader.offset++;
      const annotations = { ...stored.message.message_annotations, 'x-stream-offset': stored.place };
      const payload = rhea.message.encode({ ...stored.message, message_annotations: annotations });
      reader.unsettled.set(reader.send(payload), stored);
    }
  }
}

/** The header, and behind it what never changes. */
function payloadOf({ message, deliveryCount }: Stored): Buffer {
  const first = deliveryCount === 0 ? 0x41 : 0x42;
  const header = Buffer.from([0x00, 0x53, 0x70, 0xc0, 7, 5, 0x41, 0x40, 0x40, first, 0x52, deliveryCount]);
  const { durable: _d, delivery_count: _c, first_acquirer: _f, priority: _p, ttl: _t, ...rest } = message;
  return Buffer.concat([header, rhea.message.encode(rest)]);
}

interface Exchange {
  readonly type: string;
  readonly bindings: { readonly queue: string; readonly key: string }[];
}

/** A refusal: a status of HTTP's, and what the broker says. */
export class Refusal extends Error {
  constructor(
    readonly status: string,
    message: string,
  ) {
    super(message);
  }
}

export class PeerState {
  readonly queues = new Map<string, PeerQueue>();
  readonly exchanges = new Map<string, Exchange>();
  /** Queues and exchanges that nobody may send to. */
  readonly forbidden = new Set<string>();
  /** Streams that take no dead letters. */
  readonly full = new Set<string>();
  /** Names of queues that cannot be. */
  refuse: RegExp | undefined;

  /** How many queues took it. */
  route(exchange: string, key: string, message: Message): number {
    const { type, bindings } = this.exchanges.get(exchange) ?? { type: 'topic', bindings: [] };
    const isBound = (bound: string): boolean => bound === key || (type === 'topic' && bound === '#');
    const names = new Set(bindings.filter((binding) => isBound(binding.key)).map(({ queue }) => queue));
    const queues = [...names].flatMap((name) => this.queues.get(name) ?? []);
    for (const queue of queues) queue.push(message);
    return queues.length;
  }

  /** HTTP over AMQP. */
  request(method: string, target: string, body: unknown): { readonly status: string; readonly body: unknown } {
    const [, kind = '', name = ''] = target.split('/').map(decodeURIComponent);
    const given = (body ?? {}) as Readonly<Record<string, unknown>>;
    const args = (given['arguments'] ?? {}) as Readonly<Record<string, unknown>>;
    switch (`${method} ${kind}`) {
      case 'PUT queues': {
        if (this.refuse?.test(name) === true) throw new Refusal('400', `invalid arg, for a test`);
        const found = this.queues.get(name);
        const queue = found ?? new PeerQueue(name, args);
        if (JSON.stringify(sorted(queue.args)) !== JSON.stringify(sorted(args)))
          throw new Refusal('409', `inequivalent arg for queue '${name}'`);
        if (given['durable'] !== true) throw new Refusal('400', 'transient non-exclusive queues are not permitted');
        this.queues.set(name, queue);
        return { status: found === undefined ? '201' : '200', body: infoOf(queue) };
      }
      case 'GET queues': {
        const found = this.queues.get(name);
        if (found === undefined) throw new Refusal('404', `no queue '${name}'`);
        return { status: '200', body: infoOf(found) };
      }
      case 'DELETE queues':
        this.queues.delete(name);
        for (const { bindings } of this.exchanges.values())
          for (let at = bindings.length - 1; at >= 0; at--) if (bindings[at]?.queue === name) bindings.splice(at, 1);
        return { status: '200', body: { message_count: 0 } };
      case 'PUT exchanges': {
        const found = this.exchanges.get(name);
        if (found !== undefined && found.type !== given['type']) throw new Refusal('409', `inequivalent arg 'type'`);
        if (name.startsWith('amq.')) throw new Refusal('403', `${name} starts with reserved prefix 'amq.'`);
        if (found === undefined) this.exchanges.set(name, { type: String(given['type']), bindings: [] });
        return { status: '204', body: null };
      }
      case 'POST bindings': {
        const { source, destination_queue: queue, binding_key: key } = given;
        const exchange = this.exchanges.get(String(source));
        if (exchange === undefined) throw new Refusal('404', `no exchange '${String(source)}'`);
        if (!this.queues.has(String(queue))) throw new Refusal('404', `no queue '${String(queue)}'`);
        const isSame = (bound: { queue: string; key: string }): boolean => bound.queue === queue && bound.key === key;
        if (!exchange.bindings.some(isSame)) exchange.bindings.push({ queue: String(queue), key: String(key) });
        return { status: '204', body: null };
      }
      default:
        throw new Refusal('400', `what is ${method} ${target}?`);
    }
  }
}

function infoOf({ name, args, ready, readers, log }: PeerQueue): object {
  const counts = { message_count: ready.length + log.length, consumer_count: readers.length };
  return { ...counts, name, durable: true, type: args['x-queue-type'], arguments: args };
}

function sorted(args: object): readonly unknown[] {
  return Object.entries(args).toSorted(([a], [b]) => (a < b ? -1 : 1));
}
