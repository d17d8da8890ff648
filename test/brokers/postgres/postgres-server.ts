import { execFile } from 'node:child_process';
import { chown, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { BrokerProcess } from '../broker-process.js';
import type { PostgresInstallation } from './postgres-installation.js';
import type { PostgresAccess, PostgresServerOptions } from './postgres-options.js';
import { childrenOf, signal, untilGone, untilStopped } from '../process-table.js';
import { postgresVersion } from './postgres-probe.js';

const INITDB_TIMEOUT = 180_000;

export interface PostgresServerPlan extends PostgresServerOptions {
  readonly access: Omit<PostgresAccess, 'version'>;
  /** A ScratchFolder's, which sees to it that nothing outlives the tests. */
  readonly folder: string;
}

/** One server with a cluster of its own. */
export class PostgresServer {
  private readonly process: BrokerProcess;
  private readonly data: string;

  constructor(
    private readonly installation: PostgresInstallation,
    private readonly plan: PostgresServerPlan,
  ) {
    const { folder, access } = plan;
    this.data = join(folder, 'data');
    this.process = new BrokerProcess({
      name: `PostgreSQL (127.0.0.1:${access.port})`,
      command: installation.server,
      args: ['-D', this.data],
      account: installation.account,
      folder,
      logFile: join(folder, 'broker.log'),
      pidFile: join(folder, 'broker.pid'),
      portTaken: /could not bind IPv4 address .*: Address already in use/,
      probe: () => postgresVersion(access),
    });
  }

  /** Makes the cluster and starts it. */
  async create(): Promise<void> {
    const { installation, plan } = this;
    const passwordFile = join(plan.folder, 'password');
    await writeFile(passwordFile, plan.access.password);
    if (installation.account !== undefined) {
      const { uid, gid } = installation.account;
      for (const path of [plan.folder, passwordFile]) await chown(path, uid, gid);
    }
    await promisify(execFile)(
      installation.initdb,
      [
        ...['-D', this.data, '-U', plan.access.user, `--pwfile=${passwordFile}`, '--auth=scram-sha-256'],
        // Nothing of a cluster that lives for a test needs to be on disk before it is used.
        ...['--encoding=UTF8', '--no-locale', '--no-sync'],
      ],
      { ...installation.account, cwd: plan.folder, timeout: INITDB_TIMEOUT, killSignal: 'SIGKILL' },
    );
    await writeFile(join(this.data, 'postgresql.auto.conf'), this.configuration());
    await this.process.start();
  }

  /** With the processes that serve clients: they would go on for a moment, and keep the server from coming back. */
  async kill(): Promise<void> {
    const children = this.children();
    await this.process.kill();
    signal(children, 'SIGKILL');
    await untilGone(children);
  }

  /** With the processes that serve clients, of which no new one is made once it has stopped itself. */
  async suspend(): Promise<void> {
    await this.process.suspend();
    const children = this.children();
    signal(children, 'SIGSTOP');
    await untilStopped(children);
  }

  resume(): void {
    signal(this.children(), 'SIGCONT');
    this.process.resume();
  }

  stop(): Promise<void> {
    return this.process.stop();
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.process.start();
  }

  async wipe(): Promise<void> {
    await this.kill();
    await rm(this.data, { recursive: true, force: true });
    await this.create();
  }

  private children(): number[] {
    const { pid } = this.process;
    return pid === undefined ? [] : childrenOf(pid);
  }

  private configuration(): string {
    const settings = {
      listen_addresses: '127.0.0.1',
      port: String(this.plan.access.port),
      unix_socket_directories: '',
      max_connections: '200',
      shared_buffers: '128MB',
      ...this.plan.settings,
    };
    return Object.entries(settings)
      .map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`)
      .join('');
  }
}
