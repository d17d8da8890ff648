import type { EventClass, ListenerDeclaration } from '../declare/metadata.js';
import { metadata } from '../declare/metadata.js';
import { EventingError } from '../errors/eventing.error.js';
import type { EventRegistry } from '../registry/event.registry.js';
import type { ListenerDefinition } from '../registry/listener.descriptor.js';
import type { Discovered } from '../runtime/findings.js';

/**
 * What classes declare, without an application: events, and listeners by class or method. For tools that have to know what a
 * service sends and listens to; its listeners can be described, not called.
 *
 * Problems are collected: EVT_NOT_AN_EVENT for what is neither, and what the registry refuses.
 */
export function discoverClasses(classes: readonly unknown[], registry: EventRegistry): Discovered {
  const listeners: ListenerDefinition[] = [];
  const problems: EventingError[] = [];
  for (const type of classes)
    try {
      const declared = declarations(type);
      for (const [label, { events, options }] of declared)
        listeners.push({
          label,
          options,
          events: events.map((event) => registry.describe(event)),
          invoke: neverCalled,
        });
      if (declared.length === 0) registry.describe(type as EventClass);
    } catch (error) {
      if (!(error instanceof EventingError)) throw error;
      problems.push(error);
    }
  return { pipelines: [], listeners, problems };
}

function declarations(type: unknown): [label: string, ListenerDeclaration][] {
  if (typeof type !== 'function') return [];
  const found: [string, ListenerDeclaration][] = [];
  const own = metadata.listener(type);
  if (own !== undefined) found.push([type.name, own]);
  const prototype: unknown = type.prototype;
  if (typeof prototype !== 'object' || prototype === null) return found;
  for (const method of Object.getOwnPropertyNames(prototype)) {
    const declaration = metadata.listener(prototype, method);
    if (declaration !== undefined) found.push([`${type.name}.${method}`, declaration]);
  }
  return found;
}

function neverCalled(): never {
  throw new EventingError('EVT_NOT_RUNNING', 'A listener that was found without its application cannot be called.');
}
