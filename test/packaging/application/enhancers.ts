import { type CanActivate, type ExecutionContext, Injectable, Scope } from '@nestjs/common';
import { Envelope, EnvelopePipeline, type EventDescriptor, type ListenerDescriptor, type Next } from 'nestjs-eventing';
import { Journal } from './journal.js';

@Injectable()
export class TenantGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    return context.switchToRpc().getContext<Envelope>().headers.get('tenant') === 'acme';
  }
}

/** Made for one event, from what is injected for it. */
@Injectable({ scope: Scope.REQUEST })
export class Visit {
  constructor(private readonly envelope: Envelope) {}

  get tenant(): string | undefined {
    return this.envelope.headers.get('tenant');
  }
}

@EnvelopePipeline()
export class SessionPipeline implements EnvelopePipeline {
  constructor(private readonly journal: Journal) {}

  send(envelope: Envelope, _event: EventDescriptor, next: Next): Promise<void> {
    envelope.headers.set('session', 's-1');
    return next();
  }

  async handle(envelope: Envelope, listener: ListenerDescriptor, next: Next): Promise<void> {
    if (listener.name === 'SendReceipt') this.journal.lines.push(`session ${envelope.headers.get('session')}`);
    await next();
  }
}
