import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { InstallationError } from '../broker.errors.js';

const run = promisify(execFile);

/** In full: Maven's error about its short form hides that the network was the reason. The pom says the version. */
const COPY_DEPENDENCIES = 'org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies';

const NETWORK =
  /could not transfer|timed? ?out|unknown host|unreachable|connection|status(?: code)?:? 5\d\d|premature end/i;

/** Copies the runtime jars of a pom into a folder. A failure of the network is tried once more. */
export async function copyDependencies(pom: string, folder: string): Promise<void> {
  try {
    await maven(pom, folder);
  } catch (error) {
    if (!NETWORK.test(messageOf(error))) throw failure(error);
    await maven(pom, folder).catch((again: unknown) => {
      throw failure(again);
    });
  }
}

async function maven(pom: string, folder: string): Promise<void> {
  const goal = [COPY_DEPENDENCIES, '-DincludeScope=runtime', `-DoutputDirectory=${folder}`];
  await run('mvn', ['-q', '-B', '-f', pom, ...goal], { timeout: 5 * 60_000 });
}

function failure(error: unknown): InstallationError {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
    return new InstallationError('Maven is needed to resolve the jars, and there is no mvn on the path');
  }
  return new InstallationError(`Maven could not resolve the jars: ${messageOf(error)}`, { cause: error });
}

/** Maven writes its errors to standard output; the first of them says what happened. */
function messageOf(error: unknown): string {
  const { stdout, message } = error as { stdout?: string; message: string };
  const first = /\[ERROR\] (.*\S)/.exec(stdout ?? '')?.[1];
  return first ?? message;
}
