import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const PATIENCE = 60_000;

/** The ids of the processes that this one has started itself. */
export function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => parentOf(pid) === parent);
}

export function signal(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids)
    try {
      process.kill(pid, name);
    } catch {
      // It has ended meanwhile.
    }
}

export async function untilGone(pids: readonly number[]): Promise<void> {
  const end = Date.now() + PATIENCE;
  while (pids.some((pid) => isThere(pid)) && Date.now() < end) await sleep(10);
}

/**
 * Resolves when every thread of them is stopped. SIGSTOP takes effect in a thread when it is next given a processor: on a
 * busy machine one that was just about to answer a client still does.
 */
export async function untilStopped(pids: readonly number[]): Promise<void> {
  // Without a process table to read, sending the signal has to do.
  if (!existsSync('/proc/self/task')) return;
  const end = Date.now() + PATIENCE;
  while (!pids.every((pid) => isStopped(pid))) {
    if (Date.now() > end)
      throw new Error(`Of the processes ${pids.join(', ')}, one still runs ${PATIENCE / 1000} s after SIGSTOP.`);
    await sleep(1);
  }
}

function parentOf(pid: number): number | undefined {
  const parent = statOf(`/proc/${pid}`)?.[1];
  return parent === undefined ? undefined : Number(parent);
}

/** A zombie has ended: only its parent, which may be the machine's first process, has not looked yet. */
function isThere(pid: number): boolean {
  const state = statOf(`/proc/${pid}`)?.[0];
  return state !== undefined && state !== 'Z';
}

/** What has ended does nothing either. */
function isStopped(pid: number): boolean {
  return threadsOf(pid).every((thread) => /^[TtZX]$/.test(statOf(thread)?.[0] ?? 'X'));
}

function threadsOf(pid: number): string[] {
  const folder = `/proc/${pid}/task`;
  try {
    return readdirSync(folder).map((thread) => `${folder}/${thread}`);
  } catch {
    return [];
  }
}

/** State, parent and so on of a process or a thread, or undefined if it is gone. */
function statOf(folder: string): string[] | undefined {
  try {
    const stat = readFileSync(`${folder}/stat`, 'utf8');
    // The name, in parentheses, may have spaces.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}
