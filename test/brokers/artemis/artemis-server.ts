import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BrokerProcess, onFreePorts } from '../broker-process.js';
import { ADMINISTRATOR, clientUrl } from '../credentials.js';
import { classArchiveOptions } from '../java/class-archive.js';
import { javaTool } from '../java/java.js';
import { selfSignedStore } from '../java/key-store.js';
import { ScratchFolder } from '../scratch-folder.js';
import type { ArtemisInstallation } from './artemis-installation.js';
import type { ArtemisAccess, ArtemisOptions } from './artemis-options.js';
import { speaksAmqp } from './artemis-probe.js';
import { type ArtemisListeners, brokerXml, loginConfig, roleProperties, userProperties } from './broker-xml.js';

const HOST = '127.0.0.1';
const KEY_STORE_PASSWORD = 'test-password';

/** One broker, on ports which stay the same for all its lives. */
export class ArtemisServer {
  private readonly process: BrokerProcess;

  private constructor(
    installation: ArtemisInstallation,
    readonly access: ArtemisAccess,
    private readonly folder: ScratchFolder,
    jvm: readonly string[],
  ) {
    const { port } = access;
    this.process = new BrokerProcess({
      name: `Artemis (${HOST}:${port})`,
      command: javaTool(installation.java, 'java'),
      // The folder is where this main class looks for etc/broker.xml.
      args: [...javaArguments(installation, folder.path, jvm), `${EMBEDDED}.Main`, folder.path],
      folder: folder.path,
      logFile: join(folder.path, 'broker.log'),
      pidFile: join(folder.path, 'broker.pid'),
      portTaken: /Address already in use|Failed to bind to/,
      probe: () => speaksAmqp(HOST, port),
    });
  }

  static start(installation: ArtemisInstallation, options: ArtemisOptions, jvm: readonly string[] = []) {
    return onFreePorts(4, options.port, async (ports) => {
      const folder = await ScratchFolder.create('artemis');
      let server: ArtemisServer | undefined;
      try {
        const { listeners, secrets } = await planListeners(installation, ports, options.tls ?? false, folder.path);
        const { port, stompPort } = listeners;
        const at = { host: HOST, port, ...ADMINISTRATOR };
        const access = { ...at, stompPort, url: clientUrl('amqp', at), version: installation.version, ...secrets };
        await writeConfiguration(folder.path, listeners, options);
        server = new ArtemisServer(installation, access, folder, jvm);
        await server.process.start();
        return server;
      } catch (error) {
        await (server ? server.close() : folder.remove());
        throw error;
      }
    });
  }

  kill(): Promise<void> {
    return this.process.kill();
  }

  stop(bound?: number): Promise<void> {
    return this.process.stop(bound);
  }

  suspend(): Promise<void> {
    return this.process.suspend();
  }

  resume(): void {
    this.process.resume();
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.process.start();
  }

  async wipe(): Promise<void> {
    await this.kill();
    await rm(join(this.folder.path, 'data'), { recursive: true, force: true });
    await this.process.start();
  }

  async close(): Promise<void> {
    await this.kill();
    await this.folder.remove();
  }
}

const EMBEDDED = 'org.apache.activemq.artemis.core.server.embedded';

function javaArguments(installation: ArtemisInstallation, folder: string, jvm: readonly string[]): string[] {
  return [
    // A small heap, the serial collector and the first compiler tier: what starts soonest.
    ...['-Xmx384m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'],
    ...jvm,
    ...classArchiveOptions(installation.classArchive),
    // Else a killed Java leaves its statistics in the machine's temporary folder.
    '-XX:-UsePerfData',
    `-Djava.io.tmpdir=${join(folder, 'tmp')}`,
    `-Djava.security.auth.login.config=${join(folder, 'etc/login.config')}`,
    `-Dorg.slf4j.simpleLogger.defaultLogLevel=${process.env['ARTEMIS_LOG_LEVEL'] ?? 'warn'}`,
    '-Dorg.slf4j.simpleLogger.showDateTime=true',
    '-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS',
    '-cp',
    installation.classpath,
  ];
}

async function planListeners(installation: ArtemisInstallation, ports: number[], tls: boolean, folder: string) {
  const [port = 0, stompPort = 0, tlsPort = 0, tlsStompPort = 0] = ports;
  if (!tls) return { listeners: { port, stompPort }, secrets: {} };
  const { file: keyStore, certificate: ca } = await selfSignedStore(installation.java, folder, KEY_STORE_PASSWORD);
  const secure = { port: tlsPort, stompPort: tlsStompPort };
  const listeners = { port, stompPort, tls: { ...secure, keyStore, keyStorePassword: KEY_STORE_PASSWORD } };
  return { listeners, secrets: { tls: { ...secure, ca } } };
}

async function writeConfiguration(
  folder: string,
  listeners: ArtemisListeners,
  { users = [], addressSettings, settings, idleTimeout }: ArtemisOptions,
): Promise<void> {
  const etc = join(folder, 'etc');
  await mkdir(etc);
  await mkdir(join(folder, 'tmp'));
  const config = { listeners, data: join(folder, 'data'), users, addressSettings, settings, idleTimeout };
  await writeFile(join(etc, 'broker.xml'), brokerXml(config));
  await writeFile(join(etc, 'login.config'), loginConfig(etc));
  await writeFile(join(etc, 'users.properties'), userProperties(users));
  await writeFile(join(etc, 'roles.properties'), roleProperties(users));
}
