import { type Comparison, cpu, type Metric, statements, time } from './comparison.js';

/** Transactions that are under way when the last event is counted have their commit to come, on either side: a tenth of a statement. */
const oneMore = (text: string): NonNullable<Metric['target']> => ({
  text,
  met: (_ratio, ours, reference) => ours - reference <= 1.1,
});

/** A listener whose effect is a row: in the inbox's transaction, with an inbox by hand, and with none. */
export function inboxBenches(url: string): readonly Comparison[] {
  const sides = {
    module: 'inbox.subjects',
    ours: 'inboxEventing',
    settings: { url, events: '4000' },
    warmUp: 1,
    rounds: 7,
  };
  const withNone = { ...sides, reference: 'withoutInbox' };
  const name = 'nestjs-eventing, exactly-once';
  return [
    {
      ...sides,
      bench: 'inbox: a listener that stores a row, 16 at a time',
      reference: 'inboxByHand',
      names: [name, 'an INSERT into an inbox by hand'],
      metrics: [time('event'), cpu()],
    },
    {
      ...withNone,
      bench: 'inbox: a listener that stores a row, 16 at a time',
      names: [name, 'the same transaction without an inbox'],
      metrics: [statements('event', 1, oneMore('≤ 1 more')), time('event'), cpu()],
    },
    {
      ...withNone,
      bench: 'inbox: a listener that stores the rows of a batch of 100',
      names: [name, 'the same transaction without an inbox'],
      settings: { url, events: '20000', batch: 'yes' },
      metrics: [statements('batch', 100, oneMore('≤ 1 more for all of a batch')), time('event'), cpu()],
    },
  ];
}
