import type { EventingError, ProviderContext } from 'nestjs-eventing';
import type { ConnectionStatus } from './stomp.parts.js';

/** Several connections, one status: connected while none of them is away. */
export class ProviderStatus implements ConnectionStatus {
  private readonly away = new Set<object>();
  private told: 'connected' | 'disconnected' | undefined;
  private stopped = false;

  constructor(private readonly context: Pick<ProviderContext, 'onStatus'>) {}

  up(who: object): void {
    this.away.delete(who);
    if (this.away.size === 0) this.tell('connected');
  }

  down(who: object, cause: EventingError): void {
    this.away.add(who);
    this.tell('disconnected', cause);
  }

  forget(who: object): void {
    if (this.away.delete(who) && this.away.size === 0) this.tell('connected');
  }

  stop(): void {
    this.stopped = true;
  }

  private tell(status: 'connected' | 'disconnected', cause?: EventingError): void {
    if (this.told === status || this.stopped) return;
    this.told = status;
    this.context.onStatus(status, cause);
  }
}
