import { createHash } from 'node:crypto';
import type { MsPattern } from '@nestjs/microservices';
import { transformPatternToRoute } from '@nestjs/microservices/utils/transform-pattern.utils.js';
import { EventingError } from 'nestjs-eventing';

/** What names and channels are made of: the kernel's rule. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/;

/**
 * Nest's own normal form of a pattern: text as it is, an object with its keys sorted.
 * @throws EventingError EVT_INVALID_PATTERN for a regular expression, and for what is no pattern
 */
export function routeOf(pattern: unknown): string {
  if (pattern instanceof RegExp)
    throw new EventingError(
      'EVT_INVALID_PATTERN',
      `The pattern ${String(pattern)} is a regular expression: list the patterns, @EventPattern(['a', 'b']).`,
    );
  if (typeof pattern !== 'string' && typeof pattern !== 'number' && (typeof pattern !== 'object' || pattern === null))
    throw new EventingError('EVT_INVALID_PATTERN', `${String(pattern)} is no pattern: give text or an object.`);
  return transformPatternToRoute(pattern as MsPattern);
}

/**
 * The name that a route has as an event and as a channel: itself where it can be one, else its words and a hash, the same in
 * every process.
 */
export function addressOf(route: string): string {
  if (NAME.test(route)) return route;
  const words = route
    .replace(/[^A-Za-z0-9]+/g, '-')
    .replace(/^-/, '')
    .slice(0, 150)
    .replace(/-$/, '');
  const hash = createHash('sha256').update(route).digest('hex').slice(0, 12);
  return `${words === '' ? 'pattern' : words}-${hash}`;
}
