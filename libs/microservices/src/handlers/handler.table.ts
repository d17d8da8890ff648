import type { MessageHandler } from '@nestjs/microservices';
import { EventingError } from 'nestjs-eventing';
import { type HandlerOptions, listenerOptionsOf } from '../listener.options.js';
import { addressOf } from '../pattern.address.js';

/** A handler as Nest hands it over: what its guards, pipes, interceptors and filters make of a method. */
export interface Handler {
  readonly route: string;
  readonly callback: MessageHandler<unknown, unknown, unknown>;
  readonly isEvent: boolean;
  readonly options: HandlerOptions;
}

/** Handlers that are one listener: those without a name by their pattern, those of one name together. */
export interface HandlerGroup {
  readonly name: string;
  readonly isEvent: boolean;
  readonly options: HandlerOptions;
  readonly byRoute: ReadonlyMap<string, readonly Handler[]>;
}

/** What Nest registers with a transport, handler by handler. */
export class HandlerTable {
  readonly #handlers: Handler[] = [];

  get size(): number {
    return this.#handlers.length;
  }

  add(
    route: string,
    callback: Handler['callback'],
    isEvent: boolean,
    extras: Record<string, unknown> | undefined,
  ): void {
    this.#handlers.push({ route, callback, isEvent, options: listenerOptionsOf(extras) });
  }

  /** Problems are collected, not thrown: EVT_INVALID_PATTERN. */
  groups(problems: EventingError[]): HandlerGroup[] {
    const groups = new Map<string, [Handler, ...Handler[]]>();
    const byRoute = new Map<string, Handler>();
    const refuse = (text: string): void => void problems.push(new EventingError('EVT_INVALID_PATTERN', text));
    for (const handler of this.#handlers) {
      const { route, isEvent, options } = handler;
      const first = byRoute.get(route);
      if (first === undefined) byRoute.set(route, handler);
      else if (!isEvent && !first.isEvent) {
        refuse(`Two handlers answer @MessagePattern("${route}"): leave it to one of them.`);
        continue;
      } else if (isEvent !== first.isEvent) {
        refuse(`"${route}" is an @EventPattern() and a @MessagePattern(): give one of them another pattern.`);
        continue;
      }
      const name = options.name ?? addressOf(route);
      const members = groups.get(name);
      if (members === undefined) groups.set(name, [handler]);
      else if (JSON.stringify(members[0].options) === JSON.stringify(options)) members.push(handler);
      else refuse(`Handlers of "${route}" share the listener "${name}" and differ in their options: name one of them.`);
    }
    return [...groups].map(([name, members]) => ({
      name,
      isEvent: members.every(({ isEvent }) => isEvent),
      options: members[0].options,
      byRoute: routes(members),
    }));
  }
}

function routes(members: readonly Handler[]): Map<string, Handler[]> {
  const found = new Map<string, Handler[]>();
  for (const handler of members) found.set(handler.route, [...(found.get(handler.route) ?? []), handler]);
  return found;
}
