import type { Socket } from 'node:net';
import rhea, { type Connection, type Message, type Sender, type Source } from 'rhea';

const TIMEOUT = 10_000;
const MANAGEMENT = 'activemq.management';

export interface ArtemisLogin {
  readonly host: string;
  readonly port: number;
  readonly username: string;
  readonly password: string;
}

/** The version that the broker tells to whoever may connect. */
export function artemisVersion(login: ArtemisLogin): Promise<string> {
  return withConnection(login, async ({ properties }) => String(properties?.['version']));
}

/** Calls one operation of the management API, by a connection of its own. */
export function manage(login: ArtemisLogin, resource: string, operation: string, args: readonly unknown[]) {
  return withManagement(login, (call) => call(resource, operation, args));
}

/** Closes all connections but the one that does so. */
export function closeConnections(login: ArtemisLogin): Promise<number> {
  return withManagement(login, async (call, ownPort) => {
    const listed = JSON.parse(String(await call('broker', 'listConnectionsAsJSON', []))) as ListedConnection[];
    const others = listed.filter(({ clientAddress }) => !clientAddress.endsWith(`:${ownPort}`));
    for (const { connectionID } of others) await call('broker', 'closeConnectionWithID', [connectionID]);
    return others.length;
  });
}

/** Ends every session, and leaves the connections as they are; gives how many there were. Not of the connection that does so. */
export function closeSessions(login: ArtemisLogin): Promise<number> {
  return withManagement(login, async (call, ownPort) => {
    const connections = JSON.parse(String(await call('broker', 'listConnectionsAsJSON', []))) as ListedConnection[];
    let ended = 0;
    for (const { connectionID, clientAddress } of connections) {
      if (clientAddress.endsWith(`:${ownPort}`)) continue;
      // A connection may end meanwhile.
      const listed = await call('broker', 'listSessionsAsJSON', [connectionID]).catch(() => '[]');
      for (const { sessionID } of JSON.parse(String(listed)) as ListedSession[])
        if ((await call('broker', 'closeSessionWithID', [connectionID, sessionID]).catch(() => false)) === true)
          ended++;
    }
    return ended;
  });
}

interface ListedSession {
  readonly sessionID: string;
}

interface ListedConnection {
  readonly connectionID: string;
  readonly clientAddress: string;
}

type Call = (resource: string, operation: string, args: readonly unknown[]) => Promise<unknown>;

function withManagement<T>(login: ArtemisLogin, work: (call: Call, ownPort: number) => Promise<T>): Promise<T> {
  return withConnection(login, async (connection) => {
    const answers = new Map<string, (answer: Message) => void>();
    const replyTo = await new Promise<string>((resolve) => {
      const receiver = connection.open_receiver({ source: { dynamic: true } as Source });
      receiver.once('receiver_open', () => resolve(receiver.source.address));
      receiver.on('message', ({ message }) => message && answers.get(String(message.correlation_id))?.(message));
    });
    const sender = await new Promise<Sender>((resolve) => {
      const opening = connection.open_sender(MANAGEMENT);
      opening.once('sendable', () => resolve(opening));
    });
    let calls = 0;
    const call: Call = async (resource, operation, args) => {
      const id = String(calls++);
      const answer = new Promise<Message>((resolve) => answers.set(id, resolve));
      sender.send({
        reply_to: replyTo,
        correlation_id: id,
        application_properties: { _AMQ_ResourceName: resource, _AMQ_OperationName: operation },
        body: JSON.stringify(args),
      });
      return resultOf(await answer, `${resource}.${operation}`);
    };
    return work(call, socketOf(connection).localPort ?? 0);
  });
}

function resultOf({ body, application_properties: properties }: Message, operation: string): unknown {
  // Of an operation that returns nothing, there is no body.
  const [result] = (JSON.parse(String(body)) ?? []) as unknown[];
  if (properties?.['_AMQ_OperationSucceeded'] === true) return result;
  throw new Error(`Artemis refused ${operation}(): ${String(result)}`);
}

/** Whatever ends the connection, or ten seconds, ends the work as well. */
async function withConnection<T>(login: ArtemisLogin, work: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = rhea.create_container().connect({ ...login, reconnect: false });
  const failure = new Promise<never>((_, reject) => {
    const fail = (why: unknown) => reject(new Error(`Artemis at port ${login.port}: ${describe(why)}`));
    // Without a listener rhea throws these where nobody can catch them.
    connection.on('error', fail);
    connection.on('protocol_error', fail);
    connection.on('connection_error', () => fail(connection.error));
    connection.on('session_error', ({ session }) => fail(session?.error));
    connection.on('receiver_error', ({ receiver }) => fail(receiver?.error));
    connection.on('sender_error', ({ sender }) => fail(sender?.error));
    connection.on('disconnected', ({ error }) => fail(error ?? connection.error ?? 'the connection ended'));
    AbortSignal.timeout(TIMEOUT).addEventListener('abort', () => fail(`no answer within ${TIMEOUT / 1000} s`));
  });
  const done = new Promise<void>((resolve) => connection.once('connection_open', () => resolve())).then(() =>
    work(connection),
  );
  try {
    return await Promise.race([done, failure]);
  } finally {
    connection.close();
  }
}

/** rhea has it, its types do not tell. */
function socketOf(connection: Connection): Socket {
  return (connection as unknown as { readonly socket: Socket }).socket;
}

/** Errors of the broker are objects of rhea's, those of the socket are Errors. */
function describe(why: unknown): string {
  const { description, message } = (why ?? {}) as { description?: string; message?: string };
  return description ?? message ?? String(why);
}
