import { ensureClassArchive } from '../java/class-archive.js';
import { ensureJars } from '../java/jar-folder.js';
import { requireJava, type Java } from '../java/java.js';
import { ArtemisServer } from './artemis-server.js';

/** Artemis 2.x runs on Java 17 and newer. */
const OLDEST_JAVA = 17;

/** What is needed to run a broker as a Java process. */
export interface ArtemisInstallation {
  readonly version: string;
  readonly java: Java;
  readonly classpath: string;
  /** Classes in the form in which Java can map them. */
  readonly classArchive: string | undefined;
}

/** Resolves the jars where the cache does not have them. Throws an InstallationError if this machine cannot. */
export async function installArtemis(): Promise<ArtemisInstallation> {
  const java = await requireJava(OLDEST_JAVA);
  const { path, version, classpath } = await ensureJars('artemis');
  const installation = { version, java, classpath, classArchive: undefined };
  const classArchive = await ensureClassArchive(path, java, async (jvmOption) => {
    const server = await ArtemisServer.start(installation, {}, [jvmOption]);
    try {
      await server.stop(60_000);
    } finally {
      await server.close();
    }
  });
  return { ...installation, classArchive };
}
