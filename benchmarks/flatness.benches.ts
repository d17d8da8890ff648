import { type Comparison, compare, cpu, type Result, time } from './comparison.js';
import { fillInbox, fillLog, fillOutbox, LARGE, SMALL } from './flatness.fill.js';

const rows = (count: number): string => `${count.toLocaleString('en')} rows`;

/** What one table costs when it is large, beside the same when it is small. */
function flat(url: string, bench: string, subject: string, events: number): Comparison {
  return {
    bench: `${bench}, as its table grows`,
    module: 'flatness.subjects',
    ours: subject,
    reference: subject,
    names: [rows(LARGE.rows), rows(SMALL.rows)],
    settings: { url, events: String(events), schema: LARGE.schema },
    referenceSettings: { url, events: String(events), schema: SMALL.schema },
    warmUp: 1,
    rounds: 7,
    metrics: [time('event', { text: '≤ 1.2 ×', met: (ratio) => ratio <= 1.2 }), cpu()],
  };
}

/** Each on a server of its own, which it fills first: minutes, and some 7 GB of disk at a time. */
export function flatnessBenches(url: string): readonly (() => Promise<readonly Result[]>)[] {
  const filled =
    (fill: (url: string) => Promise<void>, comparisons: readonly Comparison[]) => async (): Promise<Result[]> => {
      await fill(url);
      const results: Result[] = [];
      for (const comparison of comparisons) results.push(...(await compare(comparison)));
      return results;
    };
  return [
    filled(fillLog, [
      flat(url, 'PostgreSQL publish', 'publish', 20_000),
      flat(url, 'PostgreSQL consume', 'consume', 20_000),
    ]),
    filled(fillOutbox, [
      flat(url, 'outbox, a transaction with an event', 'store', 4_000),
      flat(url, 'outbox, the relay', 'relay', 4_000),
    ]),
    filled(fillInbox, [flat(url, 'inbox, an event', 'once', 4_000)]),
  ];
}
