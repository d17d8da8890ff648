import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * The top folder of the repository, searched upwards from the working folder: these files run both as TypeScript and
 * compiled into another folder, so their own location says nothing.
 */
export function repositoryRoot(from = process.cwd()): string {
  for (let folder = from; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'test/brokers/kafka/pom.xml'))) return folder;
    if (folder === dirname(folder)) throw new Error(`${from} is not inside the repository: run this from its folder.`);
  }
}

/** Where jars are kept between runs. CI can point `EVENTING_CACHE` to a folder it saves. */
export function cacheFolder(): string {
  return process.env['EVENTING_CACHE'] || join(repositoryRoot(), '.cache');
}
