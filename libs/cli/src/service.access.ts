import {
  type DeadLetters,
  discoverClasses,
  EventingError,
  type EventingOptions,
  type EventLog,
  EventingRuntime,
  type ProviderContext,
  type ProviderFactory,
  type ProviderLogger,
  resolveOptions,
} from 'nestjs-eventing';
import type { ServiceConfig } from './config.file.js';
import { line } from './shown.text.js';

/** Milliseconds for which what a command has sent may take to leave. */
const DRAIN = 5_000;

export interface AccessOptions {
  /** Milliseconds for which the brokers are waited for. */
  readonly timeout: number;
  /** What providers say beside errors is printed too. */
  readonly verbose: boolean;
  /** Prints a line that is no result. */
  readonly say: (text: string) => void;
}

/** A service's providers, without the service: nothing listens. */
export class ServiceAccess {
  readonly #runtime: EventingRuntime;
  /** What was sent and handled; it says so itself where the configuration has none. */
  readonly log: EventLog;

  /** @throws EventingError EVT_INVALID_OPTIONS; what is wrong with the classes */
  constructor(
    private readonly config: ServiceConfig,
    private readonly options: AccessOptions,
  ) {
    const { classes } = config;
    const resolved = resolveOptions(this.#given, this.#logger);
    this.#runtime = new EventingRuntime(resolved, (registry) => {
      const found = discoverClasses(classes, registry);
      const [problem] = found.problems;
      if (problem !== undefined) throw problem;
      return found;
    });
    this.log = resolved.log;
    const { deadLetters } = this.#runtime;
    // Who looks creates nothing, and throws nothing away.
    this.log.open({ ...resolved, deadLetters, topology: 'check', housekeeping: false });
  }

  get deadLetters(): DeadLetters {
    return this.#runtime.deadLetters;
  }

  /** The providers by name, with what each is made from; none of them is. */
  get factories(): readonly (readonly [name: string, factory: ProviderFactory, context: ProviderContext])[] {
    const resolved = resolveOptions(this.#given, this.#logger);
    return [...resolved.providers].map(([name, factory]) => [
      name,
      factory,
      { ...resolved, name, onStatus: () => undefined },
    ]);
  }

  /** As `work` ends; unless a broker is not there within the timeout. @throws EventingError EVT_CONNECTION */
  async within<T>(work: (access: this) => Promise<T>): Promise<T> {
    const { timeout } = this.options;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        void this.#runtime.health.report(1).then(({ providers }) => {
          const away = providers.filter(({ connected }) => !connected).map(({ name, kind }) => `"${name}" (${kind})`);
          const text = `${away.join(', ')} was not reached within ${timeout / 1000} s: see that it runs and that the options are right, or raise --timeout.`;
          if (away.length > 0) reject(new EventingError('EVT_CONNECTION', text));
        });
      }, timeout);
    });
    try {
      return await Promise.race([work(this), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Never rejects. */
  async close(): Promise<void> {
    await this.#runtime.stop();
  }

  get #given(): EventingOptions {
    return { ...this.config.options, drain: DRAIN, logger: this.#logger };
  }

  /** A logger of the service's own might print to where results go. */
  get #logger(): ProviderLogger {
    const { say, verbose } = this.options;
    const print = (text: string): void => say(line(text, 2000));
    const chat = verbose ? print : (): void => undefined;
    return { log: chat, debug: chat, warn: chat, error: print };
  }
}
