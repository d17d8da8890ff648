import {
  type DynamicModule,
  type FactoryProvider,
  Inject,
  Module,
  type ModuleMetadata,
  type OnModuleInit,
  type ValueProvider,
} from '@nestjs/common';
import { EventingRuntime } from 'nestjs-eventing';
import { prepareSchema } from '../migrations/prepare.schema.js';
import { CommitNotifier } from './commit.notifier.js';
import { Outbox } from './outbox.js';
import { OutboxRelays } from './outbox.relays.js';

export interface OutboxAsyncOptions extends Pick<ModuleMetadata, 'imports'> {
  readonly inject?: FactoryProvider['inject'];
  readonly useFactory: (...args: never[]) => Outbox | Promise<Outbox>;
}

/** An outbox of the application: import it once, beside `EventingModule.forRoot`. It is global, and exports `Outbox`. */
@Module({})
export class PostgresOutboxModule implements OnModuleInit {
  static forRoot(outbox: Outbox): DynamicModule {
    return moduleWith({ provide: Outbox, useValue: outbox });
  }

  /** With an outbox that is made from other providers, such as a configuration service. */
  static forRootAsync({ imports = [], inject = [], useFactory }: OutboxAsyncOptions): DynamicModule {
    const factory = useFactory as (...args: unknown[]) => Outbox | Promise<Outbox>;
    return moduleWith({ provide: Outbox, inject, useFactory: factory }, imports);
  }

  constructor(
    @Inject(Outbox) private readonly outbox: Outbox,
    @Inject(EventingRuntime) private readonly runtime: EventingRuntime,
  ) {}

  /** Opens the database, waiting for it at most `startTimeout`, and has relays started and stopped with the application. */
  async onModuleInit(): Promise<void> {
    const { outbox } = this;
    const { publisher, context, service } = this.runtime;
    const { topology, instance, clock, logger, startTimeout } = this.runtime.options;
    const database = await outbox.options.database();
    try {
      const waiting = { who: 'The outbox', patience: startTimeout, clock, logger };
      await prepareSchema(database, outbox.options.schema, topology, waiting);
    } catch (error) {
      await database.close();
      throw error;
    }
    const { statements, options } = outbox;
    const { wake, pollInterval } = options;
    const notifier =
      wake === 'notify'
        ? new CommitNotifier({ database, statements, service, pollInterval, clock, logger })
        : undefined;
    notifier?.start();
    outbox.move({ service, context, database, watch: notifier });
    publisher.attach(new OutboxRelays({ outbox, database, publisher, notifier, service, instance, clock, logger }));
  }
}

function moduleWith(
  outbox: ValueProvider<Outbox> | FactoryProvider<Outbox | Promise<Outbox>>,
  imports: ModuleMetadata['imports'] = [],
): DynamicModule {
  return { module: PostgresOutboxModule, global: true, imports, providers: [outbox], exports: [Outbox] };
}
