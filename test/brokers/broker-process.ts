import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { BrokerStartError } from './broker.errors.js';
import { freePorts } from './free-ports.js';
import { OwnedProcess, type OwnedProcessOptions } from './owned-process.js';

const START_TIMEOUT = 180_000;
const PORT_TAKEN = 'another process listens on one of its ports';

export interface BrokerProcessOptions extends OwnedProcessOptions {
  /** In errors, with its address. */
  readonly name: string;
  /** The broker's own words, in its log, for a port which somebody else listens on. */
  readonly portTaken: RegExp;
  /** Rejects as long as the broker does not serve. */
  readonly probe: () => Promise<unknown>;
}

/** A broker's process through all its lives. */
export class BrokerProcess {
  private process: OwnedProcess | undefined;

  constructor(private readonly options: BrokerProcessOptions) {}

  get pid(): number | undefined {
    return this.isRunning ? this.process?.pid : undefined;
  }

  get isRunning(): boolean {
    return this.process !== undefined && this.process.ended === undefined;
  }

  /** Resolves when the broker really serves. */
  async start(): Promise<void> {
    if (this.isRunning) throw new Error(`${this.options.name} is running already`);
    const earlierLives = (await this.readLog()).length;
    this.process = OwnedProcess.spawn(this.options);
    await this.untilServing(this.process, earlierLives);
  }

  /** SIGKILL: what was not written to disk or to other nodes is lost, as in a crash. The data stay. */
  async kill(): Promise<void> {
    await this.process?.kill();
  }

  /** SIGTERM, and SIGKILL after the bound. The data stay. */
  async stop(bound?: number): Promise<void> {
    await this.process?.stop(bound);
  }

  /** SIGSTOP: connections stay open and nobody answers, as behind a broken network or in a long pause. */
  async suspend(): Promise<void> {
    await this.process?.suspend();
  }

  resume(): void {
    this.process?.resume();
  }

  private async untilServing(broker: OwnedProcess, earlierLives: number): Promise<void> {
    const { name, probe, portTaken } = this.options;
    const deadline = Date.now() + START_TIMEOUT;
    let why = '';
    while (!why) {
      const refusal = await probe().then(
        () => undefined,
        (error: Error) => error.message,
      );
      // A broker that could not bind one of its ports answers on the others for a while, until it gives up.
      if (portTaken.test((await this.readLog()).slice(earlierLives))) why = PORT_TAKEN;
      else if (broker.ended) why = broker.ended;
      else if (refusal === undefined) return;
      else if (Date.now() > deadline) why = `not ready after ${START_TIMEOUT / 1000} s (${refusal})`;
      else await sleep(25);
    }
    await broker.kill();
    const tail = (await this.readLog()).slice(earlierLives).split('\n').slice(-40).join('\n').trim();
    throw new BrokerStartError(name, why, tail);
  }

  private readLog(): Promise<string> {
    return readFile(this.options.logFile, 'utf8').catch(() => '');
  }
}

/**
 * Starts something on free ports, and on others where another process was quicker to take one.
 * @param port for the first of them, which is then the only one tried
 */
export async function onFreePorts<T>(
  count: number,
  port: number | undefined,
  start: (ports: number[]) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const free = await freePorts(count);
    if (port !== undefined) free[0] = port;
    try {
      return await start(free);
    } catch (error) {
      const lostRace = error instanceof BrokerStartError && error.why === PORT_TAKEN;
      if (!lostRace || port !== undefined || attempt === 3) throw error;
    }
  }
}
