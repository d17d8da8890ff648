import { createServer } from 'node:net';

/**
 * Below the range from which systems give out ports to outgoing connections. Inside it, a client that keeps trying a
 * killed broker's port can be given that very port as its own, connect to itself, and keep the broker from coming back.
 */
const LOWEST = 20_000;
const HIGHEST = 31_999;

/** Ports of 127.0.0.1 that nobody listens on now. A start that loses the race for one must be tried again. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST + 1));
    if (await isFree(port)) ports.add(port);
  }
  return [...ports];
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}
