import { type DynamicModule, Module } from '@nestjs/common';
import { Envelope, EnvelopePipeline, type EventDescriptor, type ListenerDescriptor, type Next } from 'nestjs-eventing';
import { SessionModule } from '../session/session.module.js';
import { Session } from '../session/session.js';
import type { EventHop } from './account.js';
import type { Journal } from './journal.js';

/** Writes every event that leaves a service, and every call of a listener, into the journal. */
@EnvelopePipeline()
export class JournalPipeline implements EnvelopePipeline {
  constructor(
    private readonly service: string,
    private readonly journal: Journal,
    private readonly session: Session,
  ) {}

  async send(envelope: Envelope, _event: EventDescriptor, next: Next): Promise<void> {
    const hop = this.#hop(envelope);
    await next();
    this.journal.write({ kind: 'sent', ...hop });
  }

  async handle(envelope: Envelope, listener: ListenerDescriptor, next: Next): Promise<void> {
    const hop = this.#hop(envelope);
    const call = { listener: listener.name, attempt: envelope.attempt };
    const took = (): number => this.journal.now() - hop.at;
    try {
      await next();
      this.journal.write({ kind: 'handled', ...hop, ...call, tookMs: took() });
    } catch (error) {
      this.journal.write({ kind: 'failed', ...hop, ...call, tookMs: took(), error: String(error) });
      throw error;
    }
  }

  /** This pipeline is inside the SessionPipeline: the session here is the one that the listener sees. */
  #hop({ name, id, key, correlationId, causationId }: Envelope): EventHop {
    const hop = { at: this.journal.now(), service: this.service, session: this.session.id };
    return { ...hop, event: name, id, key, correlationId, causationId };
  }
}

/** Adds the recording to a service, which knows nothing of it. */
@Module({})
export class JournalModule {
  static for(service: string, journal: Journal): DynamicModule {
    const pipeline = {
      provide: JournalPipeline,
      inject: [Session],
      useFactory: (session: Session) => new JournalPipeline(service, journal, session),
    };
    return { module: JournalModule, imports: [SessionModule], providers: [pipeline] };
  }
}
