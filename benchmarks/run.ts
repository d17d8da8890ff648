import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  acquireArtemis,
  acquireKafka,
  acquireRabbitMq,
  type Broker,
  type PostgresServerOptions,
  startOwnPostgres,
  type Unavailable,
} from '../test/brokers/brokers.js';
import { amqpBenches } from './amqp.benches.js';
import { backlog } from './backlog.js';
import { type Comparison, compare, type Result } from './comparison.js';
import { flatnessBenches } from './flatness.benches.js';
import { FILLED_SERVER } from './flatness.fill.js';
import { inboxBenches } from './inbox.benches.js';
import { type KafkaBench, kafkaBenches, kafkaNestBenches } from './kafka.benches.js';
import { kafkaExactlyOnceBenches } from './kafka.exactly-once.benches.js';
import { besideListener, outboxBenches, relayBenches } from './outbox.benches.js';
import { embeddedBenches, postgresBenches, postgresPeerBenches } from './postgres.benches.js';
import { memoryBenches, nestBenches } from './process.benches.js';
import { rabbitmqBenches } from './rabbitmq.benches.js';
import { rabbitmqPeerBenches } from './rabbitmq.peers.benches.js';
import { markdown } from './report.js';
import { stompBenches } from './stomp.benches.js';

// npm run bench [-- part of a group's name …] [--write]

const PUBLISHED = 'benchmarks/results.json';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { write: { type: 'boolean', default: false } },
});
const wanted = (name: string): boolean => positionals.length === 0 || positionals.some((word) => name.includes(word));

type Run = () => Promise<readonly Result[]>;
const comparing = (comparisons: readonly Comparison[]): Run[] =>
  comparisons.map((comparison) => () => compare(comparison));
const onKafka = (benches: (brokers: string) => readonly KafkaBench[], brokers: string): Run[] =>
  benches(brokers).map((bench) => async () => {
    await bench.fill?.(brokers);
    return compare(bench);
  });

const results: Result[] = [];

await inProcess('memory', memoryBenches);
await inProcess('nest', nestBenches);
const kafka = (): ReturnType<typeof acquireKafka> => acquireKafka({ profile: 'throughput' });
await onBroker('kafka', kafka, ({ access: { brokers } }) => [
  ...onKafka(kafkaBenches, brokers.join(',')),
  async () => [await backlog(brokers.join(','))],
]);
await onBroker('kafka-exactly-once', kafka, ({ access: { brokers } }) =>
  onKafka(kafkaExactlyOnceBenches, brokers.join(',')),
);
await onBroker('kafka-nest', kafka, ({ access: { brokers } }) => onKafka(kafkaNestBenches, brokers.join(',')));
await onBroker('rabbitmq', acquireRabbitMq, ({ access }) => comparing(rabbitmqBenches(access)));
await onBroker('rabbitmq-nest', acquireRabbitMq, ({ access }) => comparing(rabbitmqPeerBenches(access.url)));
await onBroker('amqp', acquireArtemis, ({ access }) => comparing(amqpBenches(access)));
await onBroker('stomp', acquireArtemis, ({ access }) => comparing(stompBenches(access)));

// Their tables are emptied and dropped at will: never on a server that somebody else has started.
const postgres =
  (settings: PostgresServerOptions['settings'] = {}) =>
  (): ReturnType<typeof startOwnPostgres> =>
    startOwnPostgres({ settings });
await onBroker('postgres', postgres(), ({ access }) => comparing(postgresBenches(access.connectionString)));
await onBroker('postgres-peers', postgres(), ({ access: { connectionString: url } }) =>
  inFolders((folder) => postgresPeerBenches({ url, folder })),
);
if (wanted('embedded')) for (const run of inFolders(embeddedBenches)) await attempt('embedded', run);
await onBroker('outbox', postgres(), ({ access: { connectionString: url } }) => [
  ...outboxBenches(url).map((bench) => () => besideListener(url, () => compare(bench))),
  ...comparing(relayBenches(url)),
  () => relayToKafka(url),
]);
await onBroker('inbox', postgres(), ({ access }) => comparing(inboxBenches(access.connectionString)));
await onBroker('flatness', postgres(FILLED_SERVER), ({ access }) => flatnessBenches(access.connectionString));

if (values.write) {
  const machine = `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`;
  const all = positionals.length === 0 ? results : merged(await published(), results);
  await writeFile('benchmarks/RESULTS.md', markdown(all, machine, new Date()));
  await writeFile(PUBLISHED, `${JSON.stringify(all, null, 2)}\n`);
}

async function published(): Promise<readonly Result[]> {
  return JSON.parse(await readFile(PUBLISHED, 'utf8')) as Result[];
}

/** A run of some groups takes the place of their former figures, and leaves the others. */
function merged(before: readonly Result[], now: readonly Result[]): readonly Result[] {
  const name = ({ bench, metric, reference }: Result): string => `${bench}\n${metric}\n${reference}`;
  const fresh = new Map(now.map((result) => [name(result), result]));
  const kept = before.map((result) => fresh.get(name(result)) ?? result);
  const known = new Set(before.map(name));
  return [...kept, ...now.filter((result) => !known.has(name(result)))];
}

/** Each in a folder of its own, which goes with it. */
function inFolders(benches: (folder: string) => readonly Comparison[]): Run[] {
  return benches('').map((_, index) => async () => {
    const folder = await mkdtemp(join(tmpdir(), 'eventing-bench-'));
    try {
      const bench = benches(folder)[index];
      return bench === undefined ? [] : await compare(bench);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
}

async function relayToKafka(url: string): Promise<readonly Result[]> {
  const broker = await kafka();
  if (!broker.available) throw new Error(`there is no Kafka for the relay: ${broker.reason}`);
  try {
    const results: Result[] = [];
    for (const bench of relayBenches(url, broker.access.brokers.join(','))) results.push(...(await compare(bench)));
    return results;
  } finally {
    await broker.close();
  }
}

async function inProcess(group: string, comparisons: readonly Comparison[]): Promise<void> {
  if (!wanted(group)) return;
  for (const run of comparing(comparisons)) await attempt(group, run);
}

/** Each on a broker of its own: what one leaves behind would slow the next. */
async function onBroker<B extends Broker>(
  group: string,
  acquire: () => Promise<B | Unavailable>,
  runs: (broker: B) => readonly Run[],
): Promise<void> {
  if (!wanted(group)) return;
  for (let index = 0, count = 1; index < count; index++) {
    const broker = await acquire();
    if (!broker.available) {
      console.error(`${group} was not measured: ${broker.reason}`);
      process.exitCode = 1;
      return;
    }
    const all = runs(broker);
    count = all.length;
    const run = all[index];
    try {
      if (run !== undefined) await attempt(group, run);
    } finally {
      await broker.close();
    }
  }
}

/** What fails is told, and takes nothing from what was measured. */
async function attempt(group: string, run: Run): Promise<void> {
  try {
    keep(await run());
  } catch (error) {
    console.error(`a bench of ${group} failed:`, error);
    process.exitCode = 1;
  }
}

function keep(found: readonly Result[]): void {
  results.push(...found);
  for (const result of found) console.log(line(result));
}

function line({ bench, metric, system, value, unit, reference, referenceValue, ratio, target }: Result): string {
  const met = target === undefined ? '' : `  ${target.met ? 'met' : 'MISSED'} (${target.text})`;
  return `${bench} · ${metric}: ${system} ${value.toPrecision(4)} ${unit}, ${reference} ${referenceValue.toPrecision(4)} → ${ratio.toFixed(2)} ×${met}`;
}
