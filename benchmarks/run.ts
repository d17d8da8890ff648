import { writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { acquireKafka } from '../test/brokers/brokers.js';
import { backlog } from './backlog.js';
import { kafkaBenches, memoryBenches, nestBenches } from './benches.js';
import { compare, type Result } from './comparison.js';
import { markdown } from './report.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { write: { type: 'boolean', default: false } },
});
const wanted = (name: string): boolean => positionals.length === 0 || positionals.some((word) => name.includes(word));

const results: Result[] = [];
const keep = (found: readonly Result[]): void => {
  results.push(...found);
  for (const result of found) console.log(line(result));
};

for (const bench of memoryBenches) if (wanted('memory')) keep(await compare(bench));
for (const bench of nestBenches) if (wanted('nest')) keep(await compare(bench));

if (wanted('kafka')) {
  // A broker for each: what one bench leaves behind would slow the next.
  const count = kafkaBenches('').length;
  for (let index = 0; index <= count; index++) {
    const kafka = await acquireKafka({ profile: 'throughput' });
    if (!kafka.available) {
      console.error(`Kafka was not measured: ${kafka.reason}`);
      process.exitCode = 1;
      break;
    }
    const brokers = kafka.access.brokers.join(',');
    const bench = kafkaBenches(brokers)[index];
    if (bench === undefined) keep([await backlog(brokers)]);
    else {
      await bench.fill?.(brokers);
      keep(await compare(bench));
    }
    await kafka.close();
  }
}

if (values.write) {
  const machine = `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`;
  await writeFile('benchmarks/RESULTS.md', markdown(results, machine, new Date()));
  await writeFile('benchmarks/results.json', `${JSON.stringify(results, null, 2)}\n`);
}

function line({ bench, metric, system, value, unit, reference, referenceValue, ratio, target }: Result): string {
  const met = target === undefined ? '' : `  ${target.met ? 'met' : 'MISSED'} (${target.text})`;
  return `${bench} · ${metric}: ${system} ${value.toPrecision(4)} ${unit}, ${reference} ${referenceValue.toPrecision(4)} → ${ratio.toFixed(2)} ×${met}`;
}
