import { isDeepStrictEqual } from 'node:util';
import type { DeadLetterView } from '../notifications/dead-letters.controller.js';
import type { CallEntry, Chapter, ChapterName, EventEntry, HttpEntry, SentEntry, Step } from './account.js';

/** What the story promises, step by step: what is told, what an account of it shows, and what it has to show. */
interface Promised {
  readonly chapter: ChapterName;
  readonly told: string;
  readonly shown: (reading: Reading) => unknown;
  readonly promised: (reading: Reading) => unknown;
}

/** A timer and the journal's clock may differ by this. Milliseconds. */
const CLOCK_TOLERANCE = 5;

/** What comes of an order when nothing goes wrong. */
const SMOOTH = [
  'notifications handled payments.completed',
  'orders handled payments.completed',
  'orders sent orders.placed',
  'payments handled orders.placed',
  'payments sent payments.completed',
];

const PROMISES: readonly Promised[] = [
  {
    chapter: 'session',
    told: 'POST /orders is answered by 201, and in the end the order is paid',
    shown: (reading) => [reading.answer('POST /orders').status, reading.answer('GET /orders').answer],
    promised: (reading) => [201, { orderId: reading.order(0), status: 'paid' }],
  },
  {
    chapter: 'session',
    told: 'two hops: orders → payments → notifications, each listener called once',
    shown: (reading) => reading.hops(0),
    promised: () => SMOOTH,
  },
  {
    chapter: 'session',
    told: 'every hop sees the session of the request',
    shown: (reading) => distinct(reading.events.map(({ session }) => session)),
    promised: (reading) => [reading.session],
  },
  {
    chapter: 'session',
    told: 'orders.placed gives both events their correlation id and is the cause of payments.completed',
    shown: (reading) =>
      reading.events.map(({ event, correlationId, causationId }) => ({ event, correlationId, causationId })),
    promised: (reading) => {
      const { id } = reading.sent('orders.placed');
      return reading.events.map(({ event }) => ({
        event,
        correlationId: id,
        causationId: event === 'orders.placed' ? undefined : id,
      }));
    },
  },
  {
    chapter: 'retry',
    told: 'TakePayment fails twice for the gateway and succeeds at the third attempt',
    shown: (reading) =>
      reading.calls('TakePayment').map(({ kind, attempt, error }) => `${attempt} ${kind} ${errorName(error)}`.trim()),
    promised: () => ['1 failed GatewayUnavailable', '2 failed GatewayUnavailable', '3 handled'],
  },
  {
    chapter: 'retry',
    told: 'no attempt comes before its back-off of 100 and 200 ms is over',
    shown: (reading) =>
      waits(reading.calls('TakePayment')).map((wait, index) => wait >= 100 * 2 ** index - CLOCK_TOLERANCE),
    promised: () => [true, true],
  },
  {
    chapter: 'retry',
    told: 'every attempt sees the session of the request',
    shown: (reading) => distinct(reading.events.map(({ session }) => session)),
    promised: (reading) => [reading.session],
  },
  {
    chapter: 'retry',
    told: 'the card is charged once: one payments.completed, one receipt, the order paid',
    shown: (reading) => [reading.hops(0), reading.answer('GET /orders').answer],
    promised: (reading) => [
      [...SMOOTH, 'payments failed orders.placed', 'payments failed orders.placed'].sort(),
      { orderId: reading.order(0), status: 'paid' },
    ],
  },
  {
    chapter: 'poison',
    told: 'SendReceipt fails at each of its three attempts',
    shown: (reading) =>
      reading
        .calls('SendReceipt', 0)
        .filter(({ kind }) => kind === 'failed')
        .map(({ attempt }) => attempt),
    promised: () => [1, 2, 3],
  },
  {
    chapter: 'poison',
    told: 'there is one dead letter, which tells the listener, the event, the attempts and the real reason',
    shown: (reading) =>
      reading.deadLetters('first').map(({ listener, event, reason, attempts, error, session }) => ({
        listener,
        event,
        reason,
        attempts,
        error: `${error.name}: ${error.message}`,
        session,
      })),
    promised: (reading) => [
      {
        listener: 'SendReceipt',
        event: { name: 'payments.completed', version: 1, id: reading.sent('payments.completed').id },
        reason: 'failed',
        attempts: 3,
        error: 'Error: There is no receipt template for the language "fr".',
        session: reading.session,
      },
    ],
  },
  {
    chapter: 'poison',
    told: 'mended and redriven, SendReceipt handles the same event in its own session',
    shown: (reading) =>
      reading
        .calls('SendReceipt', 0)
        .slice(3)
        .map(({ kind, id, session, correlationId }) => ({ kind, id, session, correlationId })),
    promised: (reading) => {
      const { id, correlationId } = reading.sent('payments.completed');
      return [{ kind: 'handled', id, session: reading.session, correlationId }];
    },
  },
  {
    chapter: 'poison',
    told: 'MarkOrderPaid had handled that event and does not get it again',
    shown: (reading) => reading.calls('MarkOrderPaid', 0).map(({ kind, attempt }) => `${attempt} ${kind}`),
    promised: () => ['1 handled'],
  },
  {
    chapter: 'poison',
    told: 'the dead letter is gone',
    shown: (reading) => reading.deadLetters('last'),
    promised: () => [],
  },
  {
    chapter: 'poison',
    told: "Rose's next order goes through at once, and nothing else happened",
    shown: (reading) => [reading.hops(0), reading.hops(1)],
    promised: () => [[...Array<string>(3).fill('notifications failed payments.completed'), ...SMOOTH].sort(), SMOOTH],
  },
];

/** Holds an account against what was told. Knows nothing of how the account came about. */
export function judge(chapters: readonly Chapter[]): Step[] {
  return PROMISES.map(({ chapter: name, told, shown, promised }) => {
    const chapter = chapters.find((candidate) => candidate.name === name);
    if (chapter === undefined) return { chapter: name, told, ok: false, found: 'the story did not come so far' };
    try {
      const reading = new Reading(chapter);
      const [was, should] = [shown(reading), promised(reading)];
      if (isDeepStrictEqual(was, should)) return { chapter: name, told, ok: true };
      return { chapter: name, told, ok: false, found: `${JSON.stringify(was)} instead of ${JSON.stringify(should)}` };
    } catch (error) {
      return { chapter: name, told, ok: false, found: error instanceof Error ? error.message : String(error) };
    }
  });
}

/** Answers questions about a chapter. */
class Reading {
  readonly session: string;
  readonly events: readonly EventEntry[];
  readonly #requests: readonly HttpEntry[];

  constructor(private readonly chapter: Chapter) {
    this.session = chapter.session;
    this.events = chapter.entries.filter((entry) => entry.kind !== 'http');
    this.#requests = chapter.entries.filter((entry) => entry.kind === 'http');
  }

  order(index: number): string {
    return this.chapter.orders[index] ?? missing(`order ${index + 1}`);
  }

  /** The first answer to what begins like this. */
  answer(request: string): HttpEntry {
    return this.#requests.find((entry) => entry.request.startsWith(request)) ?? missing(`answer to ${request}`);
  }

  /** The first event of this name. */
  sent(event: string): SentEntry {
    return (
      (this.events.find((entry) => entry.kind === 'sent' && entry.event === event) as SentEntry | undefined) ??
      missing(event)
    );
  }

  /** What became of an order, in alphabetical order. */
  hops(order: number): string[] {
    const key = this.order(order);
    const events = this.events.filter((entry) => entry.key === key);
    return events.map(({ service, kind, event }) => `${service} ${kind} ${event}`).sort();
  }

  /** How a listener was called, for all orders or for one. */
  calls(listener: string, order?: number): CallEntry[] {
    const key = order === undefined ? undefined : this.order(order);
    return this.events
      .filter((entry) => entry.kind !== 'sent')
      .filter((entry) => entry.listener === listener && (key === undefined || entry.key === key));
  }

  /** What the operator saw at the first, or at the last, look. */
  deadLetters(look: 'first' | 'last'): DeadLetterView[] {
    const looks = this.#requests.filter(({ request }) => request === 'GET /dead-letters');
    return (looks.at(look === 'first' ? 0 : -1)?.answer ?? missing('look at the dead letters')) as DeadLetterView[];
  }
}

function missing(what: string): never {
  throw new Error(`there is no ${what}`);
}

const distinct = <T>(values: readonly T[]): T[] => [...new Set(values)];
const errorName = (error: string | undefined): string => error?.split(':')[0] ?? '';

/** The pauses between attempts. */
const waits = (calls: readonly CallEntry[]): number[] =>
  calls.slice(1).map((call, index) => call.at - (calls[index]?.at ?? 0) - (calls[index]?.tookMs ?? 0));
