import { AsyncLocalStorage } from 'node:async_hooks';
import { Injectable } from '@nestjs/common';

/** The customer's session, known to whatever runs on the customer's behalf: a request, or an event that came of it. */
@Injectable()
export class Session {
  readonly #storage = new AsyncLocalStorage<string | undefined>();

  get id(): string | undefined {
    return this.#storage.getStore();
  }

  run<R>(id: string | undefined, fn: () => R): R {
    return this.#storage.run(id, fn);
  }
}
