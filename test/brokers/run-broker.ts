import { parseArgs } from 'node:util';
import {
  type Broker,
  startOwnArtemis,
  startOwnKafka,
  startOwnKafkaCluster,
  startOwnPostgres,
  startOwnRabbitMq,
  type KafkaSecurity,
  type Unavailable,
} from './brokers.js';

interface Running {
  readonly broker: Pick<Broker, 'close'>;
  /** What to give to the tests. */
  readonly variables: string;
  /** What else a client needs. */
  readonly secrets: object;
}

/** A broker for developers and benchmarks, until Ctrl-C. Only the line for the tests goes to standard output. */
async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      port: { type: 'string' },
      tls: { type: 'boolean', default: false },
      nodes: { type: 'string', default: '1' },
      security: { type: 'string', default: 'plaintext' },
      profile: { type: 'string', default: 'throughput' },
    },
  });
  const port = values.port === undefined ? undefined : Number(values.port);
  const common = { port, tls: values.tls };
  const kafka = {
    port,
    nodes: Number(values.nodes),
    security: oneOf<KafkaSecurity>('--security', values.security, ['plaintext', 'sasl-plain', 'tls', 'sasl-tls']),
    profile: oneOf('--profile', values.profile, ['quick-start', 'throughput'] as const),
  };
  const starters = {
    kafka: () => runKafka(kafka),
    rabbitmq: () => runRabbitMq(common),
    artemis: () => runArtemis(common),
    postgres: () => runPostgres({ port }),
  };
  const name = oneOf('The broker', positionals[0] ?? 'none', Object.keys(starters) as (keyof typeof starters)[]);
  const { broker, variables, secrets } = await starters[name]();

  console.log(variables);
  if (Object.keys(secrets).length > 0) console.error(JSON.stringify(secrets, undefined, 2));
  console.error('Running until Ctrl-C.');
  const end = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve());
  });
  // Neither brokers nor signal handlers keep a process alive.
  const alive = setInterval(() => {}, 60_000);
  await end;
  clearInterval(alive);
  await broker.close();
}

async function runKafka(
  options: Parameters<typeof startOwnKafkaCluster>[0] & { readonly nodes: number },
): Promise<Running> {
  const broker = had(await (options.nodes > 1 ? startOwnKafkaCluster(options) : startOwnKafka(options)));
  const { brokers, ...secrets } = broker.access;
  return { broker, variables: `KAFKA_BROKERS=${brokers.join()}`, secrets };
}

async function runRabbitMq(options: Parameters<typeof startOwnRabbitMq>[0]): Promise<Running> {
  const broker = had(await startOwnRabbitMq(options));
  const { url, stompPort, tls = {} } = broker.access;
  return { broker, variables: `RABBITMQ_URL=${url} RABBITMQ_STOMP_PORT=${stompPort}`, secrets: tls };
}

async function runArtemis(options: Parameters<typeof startOwnArtemis>[0]): Promise<Running> {
  const broker = had(await startOwnArtemis(options));
  const { url, stompPort, tls = {} } = broker.access;
  return { broker, variables: `ARTEMIS_URL=${url} ARTEMIS_STOMP_PORT=${stompPort}`, secrets: tls };
}

async function runPostgres(options: Parameters<typeof startOwnPostgres>[0]): Promise<Running> {
  const broker = had(await startOwnPostgres(options));
  return { broker, variables: `POSTGRES_URL=${broker.access.connectionString}`, secrets: {} };
}

function had<B extends { readonly available: true }>(broker: B | Unavailable): B {
  if (!broker.available) throw new Error(`${broker.part} could not be had: ${broker.reason}`);
  return broker;
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
