import {
  type DynamicModule,
  type INestApplicationContext,
  Inject,
  type LoggerService,
  Module,
  Optional,
  type Type,
} from '@nestjs/common';
import { EventingError, EventingRuntime, type EventReplays } from 'nestjs-eventing';
import { line } from './shown.text.js';

export interface ReplayApplicationOptions {
  readonly verbose: boolean;
  /** Prints a line that is no result. */
  readonly say: (text: string) => void;
}

/** Imports the user's module, and has eventing stand by before it starts. */
@Module({})
class StandBy {
  constructor(@Optional() @Inject(EventingRuntime) readonly runtime?: EventingRuntime) {
    runtime?.standBy();
  }
}

/** The service's application, whose listeners are there and hear nothing live. */
export class ReplayApplication {
  private constructor(
    private readonly context: INestApplicationContext,
    private readonly runtime: EventingRuntime,
  ) {}

  /**
   * Makes the module's providers and runs their hooks, as any start does; no HTTP server listens, and no listener is subscribed.
   * @throws EventingError EVT_INVALID_OPTIONS where it is no module, or has no EventingModule; what the start is refused with
   */
  static async boot(application: () => unknown, options: ReplayApplicationOptions): Promise<ReplayApplication> {
    const module: unknown = await application();
    if (!isModule(module))
      throw new EventingError('EVT_INVALID_OPTIONS', 'application() of the configuration must return a Nest module.');
    // Not before it is needed: it is most of the time that a command takes to begin.
    const { NestFactory } = await import('@nestjs/core');
    const root: DynamicModule = { module: StandBy, imports: [module] };
    const logger = loggerOf(options);
    const context = await NestFactory.createApplicationContext(root, { logger, abortOnError: false });
    const { runtime } = context.get(StandBy);
    if (runtime !== undefined) return new ReplayApplication(context, runtime);
    await context.close();
    throw new EventingError(
      'EVT_INVALID_OPTIONS',
      'The application of the configuration does not import EventingModule.forRoot(), or that of another copy of nestjs-eventing.',
    );
  }

  get replays(): EventReplays {
    return this.runtime.replays;
  }

  close(): Promise<void> {
    return this.context.close();
  }
}

function isModule(value: unknown): value is Type | DynamicModule {
  return typeof value === 'function' || (typeof value === 'object' && value !== null && 'module' in value);
}

/** Results alone go to where results go. An error that is thrown as well is no text, and is told once. */
function loggerOf({ verbose, say }: ReplayApplicationOptions): LoggerService {
  const print = (message: unknown): void => {
    if (typeof message === 'string') say(line(message, 2000));
  };
  const chat = verbose ? print : (): void => undefined;
  return { log: chat, debug: chat, verbose: chat, warn: chat, error: print, fatal: print };
}
