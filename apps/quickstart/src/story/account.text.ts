import type { DeadLetterView } from '../notifications/dead-letters.controller.js';
import type { Order } from '../orders/order.book.js';
import type { Account, Chapter, Entry, HttpEntry, ServiceAccount, Step } from './account.js';
import type { Colour, Paint } from './paint.js';

interface Column {
  readonly title: string;
  readonly width: number;
  readonly colour: (entry: Entry) => Colour | undefined;
  readonly cell: (entry: Entry, time: string) => string;
}

const SERVICE_COLOURS: Readonly<Record<string, Colour>> = {
  orders: 'cyan',
  payments: 'magenta',
  notifications: 'yellow',
};
const plain = (): undefined => undefined;
const dim = (): Colour => 'dim';

const COLUMNS: readonly Column[] = [
  { title: '    time', width: 8, colour: dim, cell: (_entry, time) => time.padStart(8) },
  { title: 'service', width: 13, colour: ({ service }) => SERVICE_COLOURS[service], cell: ({ service }) => service },
  { title: 'what happened', width: 39, colour: ({ kind }) => (kind === 'failed' ? 'red' : undefined), cell: whatOf },
  { title: 'try', width: 3, colour: plain, cell: (entry) => ('attempt' in entry ? `#${entry.attempt}` : '') },
  { title: 'session', width: 10, colour: () => 'green', cell: ({ session }) => session ?? '(none)' },
  { title: 'event', width: 6, colour: dim, cell: (entry) => ('id' in entry ? short(entry.id) : '') },
  { title: 'cause', width: 6, colour: dim, cell: (entry) => ('id' in entry ? short(entry.causationId) : '') },
  { title: 'correlation', width: 6, colour: dim, cell: (entry) => ('id' in entry ? short(entry.correlationId) : '') },
];

const GAP = '  ';
/** Where details stand: under what happened, a little further in. */
const DETAIL = ' '.repeat(COLUMNS.slice(0, 2).reduce((sum, { width }) => sum + width + GAP.length, 0) + 2);

/** An account for people: a line for each hop. */
export class AccountText {
  constructor(private readonly paint: Paint) {}

  opening(provider: string, run: string, services: readonly ServiceAccount[]): string {
    const title = this.paint('bold', `A shop of three Nest services, their events on ${provider}`);
    return lines('', `${title} (run ${run})`, '', ...services.map((service) => this.#service(service)), '');
  }

  chapter({ title, entries, gaveUp }: Chapter, number: number): string {
    const begin = entries[0]?.at ?? 0;
    const hops = entries.map((entry) => this.entry(entry, `${Math.round(entry.at - begin)} ms`));
    const end = gaveUp === undefined ? [] : [GAP + this.paint('red', `The story ends here: ${gaveUp}`)];
    return lines(this.paint('bold', `${number}. ${title}`), this.heading(), ...hops, ...end, '');
  }

  heading(): string {
    return this.paint('dim', this.#row(COLUMNS.map(({ title, width }) => title.padEnd(width))));
  }

  entry(entry: Entry, time: string): string {
    const cells = COLUMNS.map(({ width, colour, cell }) => this.paint(colour(entry), cell(entry, time).padEnd(width)));
    return [this.#row(cells), ...detailsOf(entry).map((text) => this.paint('dim', DETAIL + text))].join('\n');
  }

  verdict({ steps, tookMs, provider }: Account): string {
    const wrong = steps.filter(({ ok }) => !ok).length;
    const sum =
      wrong === 0
        ? this.paint('green', `All ${steps.length} steps happened as told`)
        : this.paint('red', `${wrong} of ${steps.length} steps did not happen as told`);
    const took = `${(tookMs / 1000).toFixed(1)} s on ${provider}`;
    const chapters = [...new Set(steps.map(({ chapter }) => chapter))];
    const verdicts = steps.map((step) => this.#step(step, chapters.indexOf(step.chapter) + 1));
    return lines(this.paint('bold', 'As told?'), ...verdicts, '', `${sum}, in ${took}.`, '');
  }

  #service({ name, url, listeners }: ServiceAccount): string {
    const heard = listeners.map(({ listener, events, retry }) => `${events.join(', ')} → ${listener} (${retry})`);
    return this.#row([this.paint(SERVICE_COLOURS[name], name.padEnd(13)), (url ?? 'no HTTP').padEnd(22), ...heard]);
  }

  #step({ told, ok, found }: Step, chapter: number): string {
    if (ok) return `${GAP}${this.paint('green', '✓')} ${chapter}. ${told}`;
    return lines(GAP + this.paint('red', `✗ ${chapter}. ${told}`), `${GAP}     found: ${found}`);
  }

  #row(cells: readonly string[]): string {
    return GAP + cells.join(GAP).trimEnd();
  }
}

function whatOf(entry: Entry): string {
  if (entry.kind === 'sent') return `→ ${entry.event}`;
  if (entry.kind !== 'http') return `${entry.kind === 'handled' ? '✓' : '✗'} ${entry.listener} ← ${entry.event}`;
  return `${entry.request.replace(/[\w-]{20,}/, short)} ⇒ ${entry.status} ${gistOf(entry)}`.trimEnd();
}

function gistOf({ request, answer }: HttpEntry): string {
  if (Array.isArray(answer)) return `(${answer.length})`;
  return request.includes(' /orders') ? ((answer as Partial<Order> | undefined)?.status ?? '') : '';
}

function detailsOf(entry: Entry): string[] {
  if (entry.kind === 'failed') return [entry.error ?? ''];
  if (entry.kind !== 'http' || entry.status >= 400 || !entry.request.includes('/dead-letters')) return [];
  if (!Array.isArray(entry.answer))
    return [`sent again, to ${(entry.answer as DeadLetterView).listener} and nobody else`];
  return (entry.answer as DeadLetterView[]).flatMap(({ listener, event, attempts, error }) => [
    `dead letter of ${listener}: ${event?.name} ${short(event?.id)}, given up after ${attempts} attempts`,
    `${error.name}: ${error.message}`,
  ]);
}

/** Enough of an id to see which is which. */
const short = (id: string | undefined): string => id?.slice(0, 6) ?? '-';
const lines = (...parts: readonly string[]): string => parts.join('\n');
