import type { Broker } from './broker.js';
import { NotOwnedError } from './broker.errors.js';

/**
 * A broker which somebody else started: to be used, and otherwise left alone.
 * @param start the function that gives a broker which may be killed
 */
export function foreignBroker(variable: string, start: string): Broker {
  const refuse = (action: string) => () => Promise.reject(new NotOwnedError(action, variable, start));
  return {
    available: true,
    source: 'environment',
    owned: false,
    kill: refuse('kill'),
    stop: refuse('stop'),
    restart: refuse('restart'),
    wipe: refuse('wipe'),
    suspend: refuse('suspend'),
    resume: refuse('resume'),
    close: async () => {},
  };
}

/** The broker's address in the environment, if there is one. */
export function environmentUrl(variable: string): URL | undefined {
  const text = process.env[variable]?.trim();
  if (!text) return undefined;
  if (!URL.canParse(text)) throw new Error(`${variable} is not a URL like amqp://user:password@host:5672: ${text}`);
  return new URL(text);
}

/** A port in the environment, if there is one. */
export function environmentPort(variable: string): number | undefined {
  const text = process.env[variable]?.trim();
  if (!text) return undefined;
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new Error(`${variable} is not a port: ${text}`);
  return port;
}

/** Nobody names a broker by accident: one that does not answer is an error, not a lack. */
export function notAnswering(variable: string, error: unknown): Error {
  const why = error instanceof Error ? error.message : String(error);
  return new Error(`${variable} names a broker which does not answer: ${why}. Start it, or unset the variable.`, {
    cause: error,
  });
}
