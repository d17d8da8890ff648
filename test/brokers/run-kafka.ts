import { parseArgs } from 'node:util';
import { startOwnKafka, startOwnKafkaCluster, type KafkaSecurity } from './brokers.js';

/** A Kafka for developers and benchmarks, until Ctrl-C. Only the line with the addresses goes to standard output. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      port: { type: 'string' },
      nodes: { type: 'string', default: '1' },
      security: { type: 'string', default: 'plaintext' },
      profile: { type: 'string', default: 'throughput' },
    },
  });
  const options = {
    port: values.port === undefined ? undefined : Number(values.port),
    security: oneOf<KafkaSecurity>('--security', values.security, ['plaintext', 'sasl-plain', 'tls', 'sasl-tls']),
    profile: oneOf('--profile', values.profile, ['quick-start', 'throughput'] as const),
  };
  const nodes = Number(values.nodes);
  const kafka = await (nodes > 1 ? startOwnKafkaCluster({ ...options, nodes }) : startOwnKafka(options));
  if (!kafka.available) throw new Error(`Kafka could not be had: ${kafka.reason}`);

  const { brokers, ...secrets } = kafka.access;
  console.log(`KAFKA_BROKERS=${brokers.join()}`);
  if (Object.keys(secrets).length > 0) console.error(JSON.stringify(secrets, undefined, 2));
  console.error('Running until Ctrl-C.');

  const end = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve());
  });
  // Neither brokers nor signal handlers keep a process alive.
  const alive = setInterval(() => {}, 60_000);
  await end;
  clearInterval(alive);
  await kafka.close();
}

function oneOf<T extends string>(option: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((each) => each === value);
  if (found === undefined) throw new Error(`${option} is one of ${allowed.join(', ')}, not ${value}`);
  return found;
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
