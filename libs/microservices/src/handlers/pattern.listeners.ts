import {
  EventingError,
  type EventDescriptor,
  type EventingRuntime,
  type ListenerDefinition,
  type ListenerSource,
} from 'nestjs-eventing';
import { EventingRpcContext } from '../eventing.rpc-context.js';
import type { HandlerOptions } from '../listener.options.js';
import { type PatternOptions, PatternEvents } from '../pattern.events.js';
import { dataOf } from '../pattern.packet.js';
import { isRequest, RequestAnswers } from '../replies/request.answer.js';
import { callAll } from './handler.call.js';
import type { Handler, HandlerGroup, HandlerTable } from './handler.table.js';

export interface PatternListenerOptions extends PatternOptions {
  /** Options of all handlers of events; those of one handler come before them. @default those of `@EventListener()` */
  readonly handlers?: Omit<HandlerOptions, 'name'>;
  /** The same for handlers of requests. @default at most once, not durable: nobody waits for an answer of yesterday */
  readonly requestHandlers?: Omit<HandlerOptions, 'name'>;
}

/** Runs a call inside of what watches it: Nest's instrumentation hooks. */
export type Around = (context: EventingRpcContext, call: () => Promise<void>) => Promise<void>;

const REQUESTS: HandlerOptions = { guarantee: 'at-most-once', durable: false };

/** Makes listeners of the kernel of Nest's handlers. */
export class PatternListeners {
  #answers: RequestAnswers | undefined;
  #counted: number | undefined;

  constructor(
    private readonly table: HandlerTable,
    private readonly options: PatternListenerOptions,
    private readonly runtime: () => EventingRuntime,
    private readonly around: Around,
  ) {}

  /** Handlers came after they were asked for: nothing will call them. */
  get isLate(): boolean {
    return this.#counted !== undefined && this.#counted !== this.table.size;
  }

  readonly source: ListenerSource = (registry) => {
    const problems: EventingError[] = [];
    const listeners: ListenerDefinition[] = [];
    const events = new PatternEvents(registry, this.options);
    this.#counted = this.table.size;
    for (const group of this.table.groups(problems))
      try {
        listeners.push(this.#listener(group, events));
      } catch (error) {
        if (!(error instanceof EventingError)) throw error;
        problems.push(error);
      }
    return { listeners, problems };
  };

  #listener(group: HandlerGroup, events: PatternEvents): ListenerDefinition {
    const byEvent = new Map<EventDescriptor, { route: string; handlers: readonly Handler[] }>();
    for (const [route, handlers] of group.byRoute) byEvent.set(events.eventOf(route), { route, handlers });
    const byName = new Map([...byEvent].map(([event, bound]) => [event.name, bound]));
    const [common, decorator] = group.isEvent
      ? [this.options.handlers, 'EventPattern']
      : [{ ...REQUESTS, ...this.options.requestHandlers }, 'MessagePattern'];
    return {
      label: `@${decorator}("${[...group.byRoute.keys()].join('", "')}")`,
      events: [...byEvent.keys()],
      options: { ...common, ...group.options, name: group.name },
      invoke: (body, envelope) => {
        const bound = byName.get(envelope.name);
        const [first] = bound?.handlers ?? [];
        if (bound === undefined || first === undefined) return undefined;
        const asked = !first.isEvent && isRequest(envelope);
        const context = new EventingRpcContext(envelope, bound.route, asked);
        return this.around(context, () =>
          asked
            ? this.#answer(first, dataOf(body), context)
            : callAll(bound.handlers, dataOf(body), context, this.runtime().options.logger),
        );
      },
    };
  }

  #answer(handler: Handler, data: unknown, context: EventingRpcContext): Promise<void> {
    this.#answers ??= new RequestAnswers(this.runtime());
    return this.#answers.answer(handler, data, context);
  }
}
