import type { DiscoveryService } from '@nestjs/core';

export type Wrapper = ReturnType<DiscoveryService['getProviders']>[number];

export interface HostClass {
  readonly name: string;
  readonly prototype: object;
}

/** The method that handles an event, and where Nest keeps its provider. */
export class ListenerHost {
  /** For messages: `SendReceipt`, `Orders.onPlaced`. */
  readonly label: string;
  readonly method: string;

  constructor(
    readonly wrapper: Wrapper,
    readonly type: HostClass,
    /** `undefined`: the class is the listener, and its method is `on`, or `onBatch`. */
    method: string | undefined,
    readonly takesBatches: boolean,
  ) {
    this.label = method === undefined ? type.name : `${type.name}.${method}`;
    this.method = method ?? (takesBatches ? 'onBatch' : 'on');
  }

  get id(): string {
    return this.wrapper.id;
  }

  /** Nest's name of the module that provides it. */
  get moduleKey(): string {
    return this.wrapper.host?.token ?? '';
  }

  /** What Nest's decorators were put on; what is called is looked up on the instance, where a spy may stand. */
  get handler(): unknown {
    return (this.type.prototype as Record<string, unknown>)[this.method];
  }
}
