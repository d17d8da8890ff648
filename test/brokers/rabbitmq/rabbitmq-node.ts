import { execFile } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { BrokerProcess } from '../broker-process.js';
import { epmdProcess } from './epmd.js';
import { definitions, enabledPlugins, rabbitMqConf, type RabbitMqListeners } from './rabbitmq-config.js';
import type { RabbitMqInstallation } from './rabbitmq-installation.js';
import type { RabbitMqOptions } from './rabbitmq-options.js';
import { rabbitMqVersion } from './rabbitmq-probe.js';

const CONTROL_TIMEOUT = 180_000;
const LOOPBACK_ONLY = '-kernel inet_dist_use_interface {127,0,0,1}';

export interface RabbitMqNodeOptions extends RabbitMqOptions {
  readonly listeners: RabbitMqListeners;
  /** Between nodes, and for rabbitmqctl. */
  readonly distributionPort: number;
  readonly epmdPort: number;
  /** A ScratchFolder's, which sees to it that nothing outlives the tests. */
  readonly folder: string;
}

/** One node, with a name service, a cookie and a home of its own: it knows no other node, and none knows it. */
export class RabbitMqNode {
  private readonly process: BrokerProcess;
  private readonly epmd: BrokerProcess;
  private readonly environment: NodeJS.ProcessEnv;

  constructor(
    private readonly installation: RabbitMqInstallation,
    private readonly options: RabbitMqNodeOptions,
  ) {
    const { folder, listeners, epmdPort } = options;
    this.environment = this.makeEnvironment();
    this.epmd = epmdProcess(installation.epmd, epmdPort, folder);
    this.process = new BrokerProcess({
      name: `RabbitMQ (127.0.0.1:${listeners.port})`,
      command: installation.server,
      args: ['-noinput'],
      env: this.environment,
      folder,
      logFile: join(folder, 'broker.log'),
      pidFile: join(folder, 'broker.pid'),
      portTaken: /eaddrinuse|distribution port \d+ in use/,
      probe: () => rabbitMqVersion('127.0.0.1', listeners.port),
    });
  }

  async start(): Promise<void> {
    await this.writeConfiguration();
    if (!this.epmd.isRunning) await this.epmd.start();
    await this.process.start();
  }

  kill(): Promise<void> {
    return this.process.kill();
  }

  stop(): Promise<void> {
    return this.process.stop();
  }

  suspend(): Promise<void> {
    return this.process.suspend();
  }

  resume(): void {
    this.process.resume();
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  async wipe(): Promise<void> {
    await this.kill();
    await rm(join(this.options.folder, 'data'), { recursive: true, force: true });
    await this.start();
  }

  /** Nothing runs in the folder any more. */
  async end(): Promise<void> {
    await this.kill();
    await this.epmd.kill();
  }

  async control(args: readonly string[]): Promise<string> {
    const bounds = { env: this.environment, timeout: CONTROL_TIMEOUT, killSignal: 'SIGKILL' as const };
    const { stdout } = await promisify(execFile)(this.installation.control, ['--quiet', ...args], bounds);
    return stdout;
  }

  private async writeConfiguration(): Promise<void> {
    const { folder, listeners, users, settings } = this.options;
    const definitionsFile = join(folder, 'definitions.json');
    await mkdir(join(folder, 'data'), { recursive: true });
    await writeFile(definitionsFile, definitions(users ?? []));
    await writeFile(join(folder, 'enabled_plugins'), enabledPlugins(this.installation.plugins));
    await writeFile(join(folder, 'rabbitmq.conf'), rabbitMqConf({ listeners, definitionsFile, extra: settings ?? {} }));
  }

  private makeEnvironment(): NodeJS.ProcessEnv {
    const { folder, distributionPort, epmdPort } = this.options;
    // What configures the machine's own RabbitMQ or Erlang is not for this node.
    const inherited = Object.entries(process.env).filter(([name]) => !/^(?:RABBITMQ_|ERL_)/.test(name));
    return {
      ...Object.fromEntries(inherited),
      // The folder of Erlang's cookie.
      HOME: folder,
      LC_ALL: 'C.UTF-8',
      ERL_EPMD_PORT: String(epmdPort),
      ERL_EPMD_ADDRESS: '127.0.0.1',
      RABBITMQ_CONF_ENV_FILE: join(folder, 'none'),
      RABBITMQ_NODENAME: 'test@localhost',
      RABBITMQ_DIST_PORT: String(distributionPort),
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: LOOPBACK_ONLY,
      RABBITMQ_CTL_ERL_ARGS: LOOPBACK_ONLY,
      RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq'),
      RABBITMQ_ADVANCED_CONFIG_FILE: join(folder, 'none'),
      RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'enabled_plugins'),
      RABBITMQ_MNESIA_BASE: join(folder, 'data'),
      RABBITMQ_PLUGINS_EXPAND_DIR: join(folder, 'data/plugins'),
      RABBITMQ_FEATURE_FLAGS_FILE: join(folder, 'data/feature_flags'),
      RABBITMQ_GENERATED_CONFIG_DIR: join(folder, 'data/config'),
      RABBITMQ_PID_FILE: join(folder, 'data/node.pid'),
      RABBITMQ_LOG_BASE: join(folder, 'data'),
      // The script then becomes the node, instead of a shell around it which a signal would not reach.
      RABBITMQ_ALLOW_INPUT: '1',
    };
  }
}
