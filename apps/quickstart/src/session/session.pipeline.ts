import { Envelope, EnvelopePipeline, type EventDescriptor, type ListenerDescriptor, type Next } from 'nestjs-eventing';
import { Session } from './session.js';

/** Lets the session travel: into a header on the way out, back into the session on the way in. */
@EnvelopePipeline()
export class SessionPipeline implements EnvelopePipeline {
  constructor(private readonly session: Session) {}

  send(envelope: Envelope, _event: EventDescriptor, next: Next): Promise<void> {
    envelope.headers.set('session', this.session.id);
    return next();
  }

  handle(envelope: Envelope, _listener: ListenerDescriptor, next: Next): Promise<void> {
    return this.session.run(envelope.headers.get('session'), next);
  }
}
