import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BrokerStartError } from '../broker.errors.js';
import { OwnedProcess } from '../owned-process.js';
import { javaTool } from './java.js';
import type { KafkaInstallation } from './kafka-installation.js';
import { liveBrokers } from './kafka-probe.js';
import { serverProperties, type NodePlan } from './kafka-properties.js';
import { makeStorage } from './kafka-storage.js';

const START_TIMEOUT = 60_000;

/** Java's words for a port which somebody else listens on. */
export const PORT_TAKEN = 'Address already in use';

export interface KafkaNodeOptions {
  readonly plan: NodePlan;
  readonly clusterId: string;
  /** A folder of a ScratchFolder, which sees to it that nothing outlives the tests. */
  readonly folder: string;
  readonly jvm: readonly string[];
}

/** One broker process, broker and controller in one, on ports which stay the same for all its lives. */
export class KafkaNode {
  readonly id: number;
  /** Where clients connect. */
  readonly address: string;
  private readonly internalPort: number;
  private readonly folder: string;
  private readonly log: string;
  private process: OwnedProcess | undefined;

  constructor(
    private readonly installation: KafkaInstallation,
    private readonly options: KafkaNodeOptions,
  ) {
    const { plan, folder } = options;
    const own = plan.ports[plan.id - 1];
    if (!own) throw new Error(`Node ${plan.id} of ${plan.ports.length} has no ports`);
    this.id = plan.id;
    this.address = `127.0.0.1:${own.client}`;
    this.internalPort = own.internal;
    this.folder = join(folder, `node-${plan.id}`);
    this.log = join(this.folder, 'broker.log');
  }

  get pid(): number | undefined {
    return this.isRunning ? this.process?.pid : undefined;
  }

  get isRunning(): boolean {
    return this.process !== undefined && this.process.ended === undefined;
  }

  /** Resolves when the broker really serves: it has a place in the cluster and answers. */
  async start(): Promise<void> {
    if (this.isRunning) throw new Error(`Kafka node ${this.id} is running already`);
    const data = join(this.folder, 'data');
    const config = join(this.folder, 'server.properties');
    // Java's own temporary files (native codecs) go where they are removed with everything else.
    await mkdir(join(this.folder, 'tmp'), { recursive: true });
    if (!(await exists(join(data, 'meta.properties')))) {
      await makeStorage(data, this.id, this.options.clusterId, this.installation.bootstrapCheckpoint);
    }
    await writeFile(config, serverProperties(this.options.plan, data));
    const earlierLives = (await this.readLog()).length;
    this.process = OwnedProcess.spawn({
      command: javaTool(this.installation.java, 'java'),
      args: [...this.javaArguments(), 'kafka.Kafka', config],
      folder: this.folder,
      logFile: this.log,
      pidFile: join(this.options.folder, `node-${this.id}.pid`),
    });
    await this.untilServing(this.process, earlierLives);
  }

  /** SIGKILL: what was not written to disk or to other nodes is lost, as in a crash. The data stay. */
  async kill(): Promise<void> {
    await this.process?.kill();
  }

  /** SIGTERM: hands over what the node leads and closes its files; SIGKILL after the bound. The data stay. */
  async stop(bound?: number): Promise<void> {
    await this.process?.stop(bound);
  }

  /** SIGSTOP: connections stay open and nobody answers, as behind a broken network or in a long pause. */
  suspend(): void {
    this.process?.suspend();
  }

  resume(): void {
    this.process?.resume();
  }

  /** On the same ports, with the same data; a running node is stopped first. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Forgets everything, as a new disk would. Only for a node that does not run. */
  async removeData(): Promise<void> {
    if (this.isRunning) throw new Error(`Kafka node ${this.id} is running: kill it before its data are removed`);
    await rm(join(this.folder, 'data'), { recursive: true, force: true });
  }

  /** The ids of the brokers that take part in the cluster, as this node sees it. */
  liveBrokers(): Promise<number[]> {
    return liveBrokers('127.0.0.1', this.internalPort);
  }

  private javaArguments(): string[] {
    const { classArchive, classpath } = this.installation;
    return [
      ...this.options.jvm,
      ...(classArchive ? [`-XX:SharedArchiveFile=${classArchive}`, '-Xlog:cds*=off'] : []),
      // Else a killed Java leaves its statistics in the machine's temporary folder.
      '-XX:-UsePerfData',
      `-Djava.io.tmpdir=${join(this.folder, 'tmp')}`,
      `-Dorg.slf4j.simpleLogger.defaultLogLevel=${process.env['KAFKA_LOG_LEVEL'] ?? 'warn'}`,
      '-Dorg.slf4j.simpleLogger.showDateTime=true',
      '-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS',
      '-cp',
      classpath,
    ];
  }

  private async untilServing(broker: OwnedProcess, earlierLives: number): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT;
    let why = '';
    while (!why) {
      const answer = await this.liveBrokers().catch((error: Error) => error.message);
      // A broker that could not bind one of its ports answers on the others for a while, until it gives up.
      if ((await this.readLog()).includes(PORT_TAKEN, earlierLives)) why = PORT_TAKEN;
      else if (broker.ended) why = broker.ended;
      else if (Array.isArray(answer) && answer.includes(this.id)) return;
      else if (Date.now() > deadline) why = `not ready after ${START_TIMEOUT / 1000} s (${String(answer)})`;
      else await sleep(25);
    }
    await broker.kill();
    const tail = (await this.readLog()).slice(earlierLives).split('\n').slice(-40).join('\n').trim();
    throw new BrokerStartError(`Kafka node ${this.id} (${this.address})`, why, tail);
  }

  private readLog(): Promise<string> {
    return readFile(this.log, 'utf8').catch(() => '');
  }
}

async function exists(file: string): Promise<boolean> {
  return readFile(file).then(
    () => true,
    () => false,
  );
}
