import type { AddressInfo, Server, Socket } from 'node:net';
import rhea, { type Container, type EventContext, type Receiver, type Sender, type Session } from 'rhea';
import { MARK } from './message.names.js';
import { internalsOf } from './rhea.internals.js';
import { PeerState, type Reader, Refusal } from './rabbitmq.queues.fixture.js';

const LOGIN = { username: 'guest', password: 'guest' };

/**
 * A mock of RabbitMQ 4 as AMQP 1.0 shows it: written after its documentation and the shape of its management's messages, because there
 * is no RabbitMQ 4 where these tests run. It shows that the dialect says what was understood of that, and not that it was understood right.
 */
export class RabbitMqPeer {
  readonly state = new PeerState();
  private readonly container: Container;
  private readonly sockets = new Set<Socket>();
  private readonly sessions = new Set<Session>();
  private readonly pairs = new Map<string, Sender>();
  /** As clients named it. */
  readonly hostnames: (string | undefined)[] = [];
  private server: Server | undefined;

  private constructor(private readonly properties: Readonly<Record<string, string>>) {
    this.container = rhea.create_container({ id: 'peer' });
    const mechanisms = this.container.sasl_server_mechanisms as unknown as {
      enable_plain(check: (username: string, password: string) => boolean): void;
    };
    mechanisms.enable_plain((username, password) => username === LOGIN.username && password === LOGIN.password);
    this.listenTo(this.container);
  }

  static async start(properties = { product: 'RabbitMQ', version: '4.1.0' }): Promise<RabbitMqPeer> {
    const peer = new RabbitMqPeer(properties);
    await peer.listen(0);
    return peer;
  }

  get access() {
    const { port } = (this.server as Server).address() as AddressInfo;
    return { host: '127.0.0.1', port, ...LOGIN };
  }

  /** As a broker that is killed: what it has written down stays. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.server?.close(resolve));
  }

  /** Ends every session, as the broker does for what is not allowed. */
  endSessions(): void {
    for (const session of this.sessions) session.close({ condition: 'amqp:internal-error', description: 'for a test' });
  }

  private async listen(port: number): Promise<void> {
    this.server = this.container.listen({
      port,
      host: '127.0.0.1',
      properties: this.properties,
      receiver_options: { autoaccept: false, credit_window: 0 },
      sender_options: { autosettle: true },
    } as never) as unknown as Server;
    this.server.on('connection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.setNoDelay(true);
      socket.setMaxListeners(0);
      socket.once('close', () => this.sockets.delete(socket));
    });
    await new Promise<void>((resolve) => this.server?.once('listening', () => resolve()));
  }

  private listenTo(container: Container): void {
    for (const event of [
      'connection_error',
      'connection_close',
      'disconnected',
      'error',
      'protocol_error',
      'session_error',
    ])
      container.on(event, () => undefined);
    container.on('connection_open', ({ connection }: EventContext) => {
      this.hostnames.push((connection as unknown as { readonly hostname?: string }).hostname);
    });
    container.on('session_open', ({ session }: EventContext) => session && this.sessions.add(session));
    container.on('session_close', ({ session }: EventContext) => session && this.sessions.delete(session));
    container.on('receiver_open', (context: EventContext) => this.attachReceiver(context.receiver as Receiver));
    container.on('sender_open', (context: EventContext) => this.attachSender(context.sender as Sender));
  }

  /** The client sends. */
  private attachReceiver(receiver: Receiver): void {
    const address: unknown = receiver.target?.address;
    if (address === '/management') return this.attachQuestions(receiver);
    const target = parse(address);
    const { session } = receiver;
    if (target === undefined) return end(session, 'amqp:invalid-field', `bad address ${String(address)}`);
    const { queues, exchanges, forbidden, full } = this.state;
    if (forbidden.has(target.queue ?? target.exchange ?? ''))
      return end(session, 'amqp:unauthorized-access', 'write access refused');
    if (target.queue === undefined ? !exchanges.has(target.exchange ?? '') : !queues.has(target.queue))
      return end(session, 'amqp:not-found', `no ${JSON.stringify(target)}`);
    receiver.set_target(receiver.target);
    receiver.add_credit(200);
    receiver.on('message', ({ message, delivery }: EventContext) => {
      receiver.add_credit(1);
      if (message === undefined || delivery === undefined) return;
      if (target.queue !== undefined) {
        const isLetter = message.application_properties?.[MARK.letter] !== undefined;
        if (isLetter && full.has(target.queue))
          return delivery.reject({ condition: 'amqp:not-allowed', description: 'full' });
        this.state.queues.get(target.queue)?.push(message);
        return delivery.accept();
      }
      const { exchange = '', key = '' } = target;
      if (forbidden.has(exchange)) return delivery.reject({ condition: 'amqp:not-allowed', description: 'full' });
      const known = this.state.exchanges.has(exchange);
      if (known && this.state.route(exchange, key, message) > 0) return delivery.accept();
      delivery.release();
      if (!known) receiver.close({ condition: 'amqp:not-found', description: `no exchange '${exchange}'` });
    });
  }

  /** The client receives. */
  private attachSender(sender: Sender): void {
    const address: unknown = sender.source?.address;
    const { session } = sender;
    if (address === '/management') {
      if (!isPaired(sender)) return end(session, 'amqp:precondition-failed', 'a management link must be paired');
      sender.set_source(sender.source);
      this.pairs.set(`${sender.connection.container_id}/${sender.name}`, sender);
      return;
    }
    const name = parse(address)?.queue;
    const queue = name === undefined ? undefined : this.state.queues.get(name);
    if (queue === undefined) return end(session, 'amqp:not-found', `no queue '${String(name)}'`);
    sender.set_source(sender.source);
    const { outgoing } = internalsOf(session);
    const reader: Reader = {
      queue,
      offset: offsetOf(sender, queue.log.length),
      unsettled: new Map(),
      // rhea takes a delivery off the credit only when it writes it.
      canSend: () =>
        Math.min(
          (sender as unknown as { credit: number }).credit -
            (outgoing.next_delivery_id - outgoing.next_pending_delivery),
          outgoing.deliveries.available(),
        ) > 0,
      send: (payload) => sender.send(payload, undefined, 0).id,
    };
    queue.readers.push(reader);
    const settle = (decide: (stored: NonNullable<ReturnType<typeof reader.unsettled.get>>) => void) => {
      return ({ delivery }: EventContext): void => {
        const stored = delivery === undefined ? undefined : reader.unsettled.get(delivery.id);
        if (delivery === undefined || stored === undefined) return;
        reader.unsettled.delete(delivery.id);
        if (!queue.isStream) decide(stored);
        queue.dispatch();
      };
    };
    sender.on(
      'accepted',
      settle(() => undefined),
    );
    sender.on(
      'rejected',
      settle(() => undefined),
    );
    sender.on(
      'released',
      settle((stored) => queue.giveBack([stored])),
    );
    sender.on(
      'modified',
      settle((stored) => queue.giveBack([stored])),
    );
    sender.on('sender_flow', () => queue.dispatch());
    // What was settled before is told later by rhea.
    const leave = (isLost: boolean) => () => setImmediate(() => queue.leave(reader, isLost));
    sender.once('sender_close', leave(false));
    session.once('session_close', leave(false));
    const socket = (sender.connection as unknown as { readonly socket: Socket }).socket;
    socket.once('close', leave(true));
  }

  private attachQuestions(receiver: Receiver): void {
    const { session } = receiver;
    // rhea would take the other half, which has the same name, for this one.
    const { links } = session as unknown as { readonly links: Record<string, unknown> };
    delete links[receiver.name];
    links[`questions ${receiver.name}`] = receiver;
    const { snd_settle_mode: mode } = (receiver as unknown as Attached).remote.attach;
    if (!isPaired(receiver) || mode !== 1)
      return end(session, 'amqp:precondition-failed', 'a management link must be paired, and send what is settled');
    receiver.set_target(receiver.target);
    receiver.add_credit(8);
    receiver.on('message', ({ message }: EventContext) => {
      receiver.add_credit(1);
      if (message === undefined) return;
      const { message_id: id, to, subject, reply_to: replyTo, body } = message;
      const other = this.pairs.get(`${receiver.connection.container_id}/${receiver.name}`);
      if (other === undefined || replyTo !== '$me')
        return end(session, 'amqp:precondition-failed', 'the link pair is half open, or not asked to answer');
      const answer = this.answer(String(subject), String(to), body);
      other.send({
        correlation_id: id as string,
        subject: answer.status,
        application_properties: { 'http:response': '1.1' },
        body: answer.body,
      });
    });
  }

  private answer(method: string, target: string, body: unknown): { readonly status: string; readonly body: unknown } {
    try {
      return this.state.request(method, target, body);
    } catch (error) {
      if (error instanceof Refusal) return { status: error.status, body: error.message };
      throw error;
    }
  }
}

interface Attached {
  readonly remote: {
    readonly attach: { readonly snd_settle_mode?: number; readonly properties?: { paired?: boolean } };
  };
}

function isPaired(link: Sender | Receiver): boolean {
  return (link as unknown as Attached).remote.attach.properties?.paired === true;
}

function end(session: Session, condition: string, description: string): void {
  session.close({ condition, description });
}

/** Addresses v2. */
function parse(address: unknown): { queue?: string; exchange?: string; key?: string } | undefined {
  if (typeof address !== 'string') return undefined;
  const [empty, kind, ...names] = address.split('/');
  const [first = '', second = ''] = names.map(decodeURIComponent);
  if (empty !== '' || first === '' || names.length > 2) return undefined;
  if (kind === 'queues' && names.length === 1) return { queue: first };
  return kind === 'exchanges' ? { exchange: first, key: second } : undefined;
}

function offsetOf(sender: Sender, end: number): number {
  const filter = (sender.source as { filter?: Record<string, { value?: unknown } | undefined> }).filter;
  const spec: unknown = filter?.['rabbitmq:stream-offset-spec'];
  const value: unknown = typeof spec === 'object' && spec !== null && 'value' in spec ? spec.value : spec;
  if (value === 'first') return 0;
  return typeof value === 'number' ? value : end;
}
