import { Logger } from '@nestjs/common';
import type { LogDetails, ProviderLogger } from '../provider/event-provider.js';

/** Nest's logger, and so whatever `app.useLogger()` was given. */
export function nestLogger(structured: boolean): ProviderLogger {
  const logger = new Logger('Eventing');
  const line = (message: string, details: LogDetails | undefined): unknown =>
    structured && details !== undefined ? { message, ...details } : message;
  return {
    log: (message) => logger.log(message),
    warn: (message, details) => logger.warn(line(message, details)),
    error: (message, details) => logger.error(line(message, details)),
    debug: (message) => logger.debug(message),
  };
}
