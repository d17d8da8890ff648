import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BrokerProcess } from '../broker-process.js';
import { classArchiveOptions } from '../java/class-archive.js';
import { javaTool } from '../java/java.js';
import type { KafkaInstallation } from './kafka-installation.js';
import { liveBrokers } from './kafka-probe.js';
import { serverProperties, type NodePlan } from './kafka-properties.js';
import { makeStorage } from './kafka-storage.js';

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
  private readonly config: string;
  private readonly process: BrokerProcess;

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
    this.config = join(this.folder, 'server.properties');
    this.process = new BrokerProcess({
      name: `Kafka node ${this.id} (${this.address})`,
      command: javaTool(installation.java, 'java'),
      args: [...this.javaArguments(), 'kafka.Kafka', this.config],
      folder: this.folder,
      logFile: join(this.folder, 'broker.log'),
      pidFile: join(folder, `node-${this.id}.pid`),
      portTaken: /Address already in use/,
      probe: () => this.untilTakingPart(),
    });
  }

  get pid(): number | undefined {
    return this.process.pid;
  }

  get isRunning(): boolean {
    return this.process.isRunning;
  }

  /** Resolves when the broker really serves: it has a place in the cluster and answers. */
  async start(): Promise<void> {
    const data = join(this.folder, 'data');
    // Java's own temporary files (native codecs) go where they are removed with everything else.
    await mkdir(join(this.folder, 'tmp'), { recursive: true });
    if (!existsSync(join(data, 'meta.properties'))) {
      await makeStorage(data, this.id, this.options.clusterId, this.installation.bootstrapCheckpoint);
    }
    await writeFile(this.config, serverProperties(this.options.plan, data));
    await this.process.start();
  }

  /** SIGKILL: what was not written to disk or to other nodes is lost, as in a crash. The data stay. */
  kill(): Promise<void> {
    return this.process.kill();
  }

  /** SIGTERM: hands over what the node leads and closes its files; SIGKILL after the bound. The data stay. */
  stop(bound?: number): Promise<void> {
    return this.process.stop(bound);
  }

  /** SIGSTOP: connections stay open and nobody answers, as behind a broken network or in a long pause. */
  suspend(): Promise<void> {
    return this.process.suspend();
  }

  resume(): void {
    this.process.resume();
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
      ...classArchiveOptions(classArchive),
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

  private async untilTakingPart(): Promise<void> {
    const live = await this.liveBrokers();
    if (!live.includes(this.id)) throw new Error(`not among the live brokers: ${live.join()}`);
  }
}
