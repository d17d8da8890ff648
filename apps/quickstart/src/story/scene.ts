import { setTimeout as pause } from 'node:timers/promises';
import type { DeadLetterView } from '../notifications/dead-letters.controller.js';
import type { Order } from '../orders/order.book.js';
import type { PlaceOrder } from '../orders/place-order.request.js';
import type { ServiceName, Shop } from '../shop.js';
import type { HttpEntry } from './account.js';
import type { Journal } from './journal.js';

export interface SceneOptions {
  readonly shop: Shop;
  readonly journal: Journal;
  /** The session of the customer. */
  readonly session: string;
  /** The session of the shop's operator. */
  readonly operator: string;
  /** Milliseconds for which anything is waited for. */
  readonly patience: number;
  /** Ends all waiting. */
  readonly signal: AbortSignal;
}

/** How often something awaited is looked for. Milliseconds. */
const LOOK_AGAIN = 10;

/** What people outside the shop do: they ask over HTTP, and look what comes of it. */
export class Scene {
  /** Ids of the orders placed. */
  readonly orders: string[] = [];
  /** What was asked and answered. */
  readonly requests: HttpEntry[] = [];

  constructor(private readonly options: SceneOptions) {}

  async placeOrder(order: PlaceOrder): Promise<string> {
    const { orderId } = await this.#ask<Order>('orders', 'POST /orders', this.options.session, order);
    this.orders.push(orderId);
    return orderId;
  }

  lookAtOrder(orderId: string): Promise<Order> {
    return this.#ask('orders', `GET /orders/${orderId}`, this.options.session);
  }

  setReceiptTemplate(language: string, text: string): Promise<void> {
    return this.#ask('notifications', `PUT /receipt-templates/${language}`, this.options.operator, { text });
  }

  redrive(letter: DeadLetterView): Promise<DeadLetterView> {
    return this.#ask('notifications', `POST /dead-letters/${letter.id}/redrive`, this.options.operator);
  }

  /** Resolves when the listeners have handled what came of an order. */
  async handled(orderId: string, ...listeners: readonly string[]): Promise<void> {
    await this.#eventually(`${listeners.join(', ')} to handle order ${orderId}`, () => {
      const done = this.options.journal.entries.map((entry) =>
        entry.kind === 'handled' && entry.key === orderId ? entry.listener : '',
      );
      return listeners.every((listener) => done.includes(listener));
    });
  }

  /** The dead letters of this customer, as soon as there are as many as `count`. */
  async deadLetters(count: number): Promise<readonly DeadLetterView[]> {
    const { session, operator } = this.options;
    let letters: DeadLetterView[] = [];
    await this.#eventually(`${count} dead letters`, async () => {
      const looked = await this.#fetch('notifications', 'GET /dead-letters', operator);
      // A broker that outlives this run may keep letters of others.
      letters = (looked.answer as DeadLetterView[]).filter((letter) => letter.session === session);
      if (letters.length === count) this.requests.push({ ...looked, answer: letters });
      return letters.length === count;
    });
    return letters;
  }

  async #ask<T>(service: ServiceName, request: string, session: string, body?: object): Promise<T> {
    const entry = await this.#fetch(service, request, session, body);
    this.requests.push(entry);
    if (entry.status >= 400)
      throw new Error(`${request} was answered by ${entry.status} ${JSON.stringify(entry.answer)}`);
    return entry.answer as T;
  }

  async #fetch(service: ServiceName, request: string, session: string, body?: object): Promise<HttpEntry> {
    const { shop, journal, patience, signal } = this.options;
    const [method, path] = request.split(' ') as [string, string];
    const at = journal.now();
    const response = await fetch(shop.url(service) + path, {
      method,
      headers: { 'x-session': session, 'content-type': 'application/json' },
      signal: AbortSignal.any([signal, AbortSignal.timeout(patience)]),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const answer: unknown = text === '' ? undefined : JSON.parse(text);
    return { kind: 'http', at, service, session, request, status: response.status, answer };
  }

  /** Bounded by the story's patience, like every wait. */
  async #eventually(what: string, happened: () => boolean | Promise<boolean>): Promise<void> {
    const { journal, patience, signal } = this.options;
    const deadline = journal.now() + patience;
    while (!(await happened())) {
      if (journal.now() > deadline) throw new Error(`waited ${patience} ms for ${what}`);
      await pause(LOOK_AGAIN, undefined, { signal });
    }
  }
}
