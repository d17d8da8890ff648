import { EventingError } from '../errors/eventing.error.js';
import { EventLog } from './event-log.js';

/** In place of a log where the application has none. */
export class NoEventLog extends EventLog {
  override open(): void {
    return;
  }

  override sent(): Promise<never> {
    return refused();
  }

  override handled(): Promise<never> {
    return refused();
  }

  override resend(): Promise<never> {
    return refused();
  }

  override async close(): Promise<void> {
    return;
  }
}

function refused(): Promise<never> {
  const text = 'This application has no log of events: give EventingModule one (log: new PostgresEventLog({ … })).';
  return Promise.reject(new EventingError('EVT_INVALID_OPTIONS', text));
}
