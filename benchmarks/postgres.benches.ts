import { type Comparison, cpu, rate } from './comparison.js';

const atLeast = rate({ text: '≥ 0.7 ×', met: (ratio) => ratio >= 0.7 });

interface Place {
  readonly name: string;
  readonly twin: string;
  readonly settings: Record<string, string>;
  readonly events: number;
}

/** Beside a queue that is written by hand for the same work: the same columns, bytes and durability. */
function beside({ name, twin, settings, events }: Place): readonly Comparison[] {
  const sized = { ...settings, events: String(events) };
  const base = { module: 'postgres.subjects', settings: sized, warmUp: 2, rounds: 7, metrics: [atLeast, cpu()] };
  return [
    // Ten are the events that are open with ours, in no order; two keep one, as ours does, by a connection for each half of the keys.
    ...['10', '2'].map((open): Comparison => ({
      ...base,
      bench: `${name} publish, 1000 sends open`,
      ours: 'publishEventing',
      reference: 'publishByHand',
      names: ['nestjs-eventing', `${twin}, ${open} INSERTs of 100 rows open`],
      referenceSettings: { ...sized, open },
    })),
    ...['100', '500'].map((batch): Comparison => ({
      ...base,
      bench: `${name} consume, at-least-once`,
      ours: 'consumeEventing',
      reference: 'consumeByHand',
      names: ['nestjs-eventing', `${twin}, SKIP LOCKED, ${batch} a batch`],
      referenceSettings: { ...sized, batch },
    })),
  ];
}

export function postgresBenches(url: string): readonly Comparison[] {
  return beside({ name: 'PostgreSQL', twin: 'pg, by hand', settings: { url }, events: 50_000 });
}

/** In a folder for each. */
export function embeddedBenches(folder: string): readonly Comparison[] {
  return beside({ name: 'PGlite', twin: 'PGlite, by hand', settings: { folder }, events: 20_000 });
}

/** Beside what applications use as a queue on PostgreSQL. PGlite has no server's durability, and theirs is on the server. */
export function postgresPeerBenches({
  url,
  folder,
}: {
  readonly url: string;
  readonly folder: string;
}): readonly Comparison[] {
  const faster = rate({ text: '> 1 ×', met: (ratio) => ratio > 1 });
  const events = String(20_000);
  const stores: readonly { readonly store: string; readonly settings: Record<string, string> }[] = [
    { store: 'PostgreSQL', settings: { url, events } },
    { store: 'PGlite', settings: { folder, events } },
  ];
  return stores.flatMap(({ store, settings }) =>
    ['pgBoss', 'graphile'].flatMap((peer): Comparison[] => {
      const sides = {
        module: 'postgres.subjects',
        referenceModule: 'postgres.peers.subjects',
        names: ['nestjs-eventing', peer === 'pgBoss' ? 'pg-boss' : 'graphile-worker'] as const,
        settings,
        referenceSettings: { url, peer, events },
        warmUp: 1,
        rounds: 5,
        metrics: [faster, cpu()],
      };
      return [
        {
          ...sides,
          bench: `${store} publish, beside a queue on PostgreSQL`,
          ours: 'publishEventing',
          reference: 'publishPeer',
        },
        {
          ...sides,
          bench: `${store} consume, beside a queue on PostgreSQL`,
          ours: 'consumeEventing',
          reference: 'consumePeer',
        },
      ];
    }),
  );
}
