import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Sample } from './measure.js';

/**
 * One side of a comparison. Each runs in a process of its own, so that neither pays for the garbage, the compiled code or the
 * asynchronous context of the other.
 */
export interface Subject {
  /** Once, before the rounds. */
  prepare?(): Promise<void>;
  /** One round. Throws when an event was lost or repeated. */
  round(): Promise<Sample>;
  close?(): Promise<void>;
}

export type SubjectFactory = (settings: Record<string, string>) => Subject;

/** Run by the child: `node subject.js <module> <export>`. Answers each message with a sample. */
async function serve(module: string, name: string): Promise<void> {
  const { [name]: make } = (await import(module)) as Record<string, SubjectFactory>;
  if (make === undefined) throw new Error(`${module} exports no ${name}`);
  const settings = JSON.parse(process.env['BENCH_SETTINGS'] ?? '{}') as Record<string, string>;
  const subject = make(settings);
  await subject.prepare?.();
  process.on('message', (message) => {
    if (message === 'close') {
      void Promise.resolve(subject.close?.()).then(() => process.exit(0));
      return;
    }
    subject.round().then(
      (sample) => process.send?.(sample),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  });
  process.send?.('ready');
}

export interface RunningSubject {
  round(): Promise<Sample>;
  close(): Promise<void>;
  /** At once, whatever it is at. */
  kill(): void;
}

/** Milliseconds, far above what a round takes: one that never ends (an event that never arrives) must not hold up the others. */
const LONGEST_ROUND = 300_000;

/** Starts a subject in a process of its own. */
export async function startSubject(
  module: string,
  name: string,
  settings: Record<string, string> = {},
  execArgv: readonly string[] = [],
): Promise<RunningSubject> {
  const child = fork(fileURLToPath(import.meta.url), [module, name], {
    env: { ...process.env, BENCH_SETTINGS: JSON.stringify(settings) },
    execArgv: [...execArgv],
    serialization: 'advanced',
  });
  const answer = (): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const late = setTimeout(() => child.kill('SIGKILL'), LONGEST_ROUND);
      const ended = (code: number | null): void => {
        clearTimeout(late);
        reject(new Error(`${name} ended with ${String(code)}`));
      };
      child.once('exit', ended);
      child.once('message', (message) => {
        clearTimeout(late);
        child.off('exit', ended);
        resolve(message);
      });
    });
  await answer();
  return {
    async round() {
      const answered = answer();
      child.send('round');
      return (await answered) as Sample;
    },
    close: () =>
      new Promise((resolve) => {
        child.once('exit', () => resolve());
        child.send('close');
      }),
    kill: () => void child.kill('SIGKILL'),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await serve(process.argv[2] ?? '', process.argv[3] ?? '');
