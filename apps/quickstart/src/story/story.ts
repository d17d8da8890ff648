import type { Shop } from '../shop.js';
import type { Chapter, ChapterName } from './account.js';
import type { Journal } from './journal.js';
import { Scene } from './scene.js';

export interface StoryOptions {
  readonly shop: Shop;
  readonly journal: Journal;
  readonly run: string;
  readonly patience: number;
  readonly signal: AbortSignal;
}

interface Plot {
  readonly name: ChapterName;
  readonly title: string;
  readonly customer: string;
  readonly play: (scene: Scene) => Promise<void>;
}

const PLOTS: readonly Plot[] = [
  {
    name: 'session',
    title: "Ada orders, and her request's session travels two hops in headers",
    customer: 'ada',
    async play(scene) {
      const order = await scene.placeOrder({ customer: 'Ada', language: 'en', card: 'card_good', total: 1990 });
      await scene.handled(order, 'TakePayment', 'MarkOrderPaid', 'SendReceipt');
      await scene.lookAtOrder(order);
    },
  },
  {
    name: 'retry',
    title: "Grace's card gateway is flaky, and her payment is retried",
    customer: 'grace',
    async play(scene) {
      const order = await scene.placeOrder({ customer: 'Grace', language: 'de', card: 'card_flaky', total: 4200 });
      await scene.handled(order, 'TakePayment', 'MarkOrderPaid', 'SendReceipt');
      await scene.lookAtOrder(order);
    },
  },
  {
    name: 'poison',
    title: 'Rose wants a receipt in French: poison for one listener, until it is mended and the dead letter redriven',
    customer: 'rose',
    async play(scene) {
      const order = { customer: 'Rose', language: 'fr', card: 'card_good', total: 890 };
      const poisoned = await scene.placeOrder(order);
      await scene.handled(poisoned, 'TakePayment', 'MarkOrderPaid');
      const [letter] = await scene.deadLetters(1);
      await scene.setReceiptTemplate('fr', 'Merci, {customer} : nous avons reçu {total}.');
      if (letter !== undefined) await scene.redrive(letter);
      await scene.handled(poisoned, 'SendReceipt');
      await scene.deadLetters(0);
      // Passes all the places that the redriven event would have passed on its way to a listener that is not to get it.
      await scene.handled(await scene.placeOrder(order), 'TakePayment', 'MarkOrderPaid', 'SendReceipt');
    },
  },
];

/** Plays the chapters one by one and yields each when it is over. Ends early where one waits in vain. */
export async function* tell(options: StoryOptions): AsyncGenerator<Chapter, void, undefined> {
  const { journal, run } = options;
  for (const { name, title, customer, play } of PLOTS) {
    const session = `${customer}-${run}`;
    const scene = new Scene({ ...options, session, operator: `ops-${run}` });
    let gaveUp: string | undefined;
    try {
      await play(scene);
    } catch (error) {
      gaveUp = reasonOf(error);
    }
    yield withEvents({ name, title, session, orders: scene.orders, entries: scene.requests, gaveUp }, journal);
    if (gaveUp !== undefined) return;
  }
}

/** The chapter with all that the journal has of it by now. */
export function withEvents(chapter: Chapter, journal: Journal): Chapter {
  const requests = chapter.entries.filter(({ kind }) => kind === 'http');
  const events = journal.entries.filter(
    ({ session, key }) => session === chapter.session || (key !== undefined && chapter.orders.includes(key)),
  );
  return { ...chapter, entries: [...requests, ...events].sort((one, other) => one.at - other.at) };
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
