import type { ProviderLogger } from 'nestjs-eventing';

/** Errors only: a benchmark is no place for news. */
export const quiet: ProviderLogger = {
  log: () => undefined,
  warn: () => undefined,
  debug: () => undefined,
  error: (message) => console.error(message),
};
