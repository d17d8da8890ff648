import { connect } from 'node:net';

/** Sets variables; gives what sets them back. */
export function environment(variables: Readonly<Record<string, string>>): () => void {
  const earlier = Object.keys(variables).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, variables);
  return () => {
    for (const [name, value] of earlier) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  };
}

export interface StompLogin {
  readonly host: string;
  readonly stompPort?: number | undefined;
  readonly username: string;
  readonly password: string;
}

/** Begins STOMP's handshake and gives the frame which answers it. */
export function stompConnect({ host, stompPort = 0, username, password }: StompLogin): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: stompPort });
    socket.setTimeout(5_000, () => reject(new Error(`no STOMP at port ${stompPort}`)));
    socket.on('connect', () =>
      socket.write(`CONNECT\naccept-version:1.2\nhost:/\nlogin:${username}\npasscode:${password}\n\n\0`),
    );
    socket.on('data', (frame) => {
      resolve(frame.toString());
      socket.destroy();
    });
    socket.on('error', reject);
  });
}
