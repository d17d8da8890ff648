import { mkdir, open, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Below the range from which systems give out ports to outgoing connections. Inside it, a client that keeps trying a
 * killed broker's port can be given that very port as its own, connect to itself, and keep the broker from coming back.
 */
const LOWEST = 20_000;
const HIGHEST = 31_999;

/** Claims of ports, one file each: nobody listens on those of a broker that a test has killed, and they are not free all the same. */
const CLAIMS = join(tmpdir(), 'nestjs-eventing-ports');
/** Milliseconds after which a claim is nobody's any more; no broker of a test lives as long. */
const LONGEST_CLAIM = 60 * 60_000;
/** Draws after which a port that is claimed will do: a thousand runs an hour leave few others. */
const ENOUGH_DRAWS = 10_000;

/** Ports of 127.0.0.1 that nobody listens on now, and that were not given to any other broker of the last hours. */
export async function freePorts(count: number): Promise<number[]> {
  await mkdir(CLAIMS, { recursive: true }).catch(() => undefined);
  const ports = new Set<number>();
  for (let draw = 0; ports.size < count; draw++) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST + 1));
    if ((await isFree(port)) && ((await claimed(port)) || draw > ENOUGH_DRAWS)) ports.add(port);
  }
  return [...ports];
}

async function claimed(port: number): Promise<boolean> {
  const claim = join(CLAIMS, String(port));
  try {
    await (await open(claim, 'wx')).close();
    return true;
  } catch (error) {
    // Somebody else's folder: then nobody can claim anything.
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) return true;
    const made = await stat(claim).then(
      ({ mtimeMs }) => mtimeMs,
      () => Date.now(),
    );
    // Then the next one who draws it has it.
    if (Date.now() - made > LONGEST_CLAIM) await rm(claim, { force: true });
    return false;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}
