import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { ProviderChoice } from './provider.js';

export const USAGE = `A small shop of three Nest services that talk by events, and the story of three of its orders.

  npm start                              the story, in memory
  npm start -- --provider kafka          the same on Kafka

  --provider NAME            what carries the events: memory, kafka, rabbitmq, amqp, stomp, postgres, embedded (default: memory)
  --brokers host:port,…      where Kafka is (default: KAFKA_BROKERS, else localhost:9092)
  --url amqp://…             where another broker is, with user and password (default: RABBITMQ_URL for rabbitmq, ARTEMIS_URL
                             for amqp, STOMP_URL for stomp, POSTGRES_URL for postgres; else as in compose.yaml)
  --data-dir FOLDER          where embedded keeps its database (default: one in the system's temporary folder)
  --json                     print the account as one JSON document
  --serve                    stay up after the story, to be played with
  --verbose                  show on stderr what Nest and the services log
  --help                     print this

On one broker, one run at a time: two would share the work, as instances of the same services do.
Exits 0 if every step of the story happened as told, 1 if one did not, 2 if the command was not understood.
`;

export type Flags = ProviderChoice & { readonly json: boolean; readonly serve: boolean; readonly verbose: boolean };

/** A command that cannot be followed; the message says why. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** `'help'` where help is asked for. @throws UsageError */
export function readFlags(argv: readonly string[], env: NodeJS.ProcessEnv): Flags | 'help' {
  const values = parse(argv);
  const { json, serve, verbose } = values;
  if (values.help) return 'help';
  if (json && serve) throw new UsageError('--json prints one document and ends, --serve stays up: choose one.');
  return { ...choose(values, env), json, serve, verbose };
}

/** Where each broker is looked for: in the environment, else where `compose.yaml` puts it. */
const URLS = {
  rabbitmq: ['RABBITMQ_URL', 'amqp://guest:guest@localhost:5672'],
  amqp: ['ARTEMIS_URL', 'amqp://artemis:artemis@localhost:5673'],
  stomp: ['STOMP_URL', 'stomp://artemis:artemis@localhost:61614'],
  postgres: ['POSTGRES_URL', 'postgres://postgres:postgres@localhost:5432/postgres'],
} as const;

function choose(given: ReturnType<typeof parse>, env: NodeJS.ProcessEnv): ProviderChoice {
  const { provider, brokers, url, 'data-dir': dataDir } = given;
  if (provider !== 'kafka' && brokers !== undefined) throw new UsageError('--brokers is for --provider kafka.');
  if (provider !== 'embedded' && dataDir !== undefined) throw new UsageError('--data-dir is for --provider embedded.');
  switch (provider) {
    case 'memory':
    case 'kafka':
    case 'embedded':
      if (url !== undefined) throw new UsageError('--url is for --provider rabbitmq, amqp, stomp and postgres.');
      if (provider === 'memory') return { provider };
      if (provider === 'embedded')
        return { provider, dataDir: dataDir ?? join(tmpdir(), 'nestjs-eventing-quickstart') };
      return { provider, brokers: addresses(brokers ?? (env['KAFKA_BROKERS'] || 'localhost:9092')) };
    case 'rabbitmq':
    case 'amqp':
    case 'stomp':
    case 'postgres': {
      const [variable, usual] = URLS[provider];
      return { provider, url: checked(url ?? (env[variable] || usual)) };
    }
    default:
      throw new UsageError(
        `--provider is "${provider}": choose memory, kafka, rabbitmq, amqp, stomp, postgres or embedded.`,
      );
  }
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: {
        provider: { type: 'string', default: 'memory' },
        brokers: { type: 'string' },
        url: { type: 'string' },
        'data-dir': { type: 'string' },
        json: { type: 'boolean', default: false },
        serve: { type: 'boolean', default: false },
        verbose: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function addresses(list: string): string[] {
  const brokers = list.split(',').map((address) => address.trim());
  const wrong = brokers.find((address) => !/^\S+:\d{1,5}$/.test(address));
  if (wrong !== undefined) throw new UsageError(`Kafka's address "${wrong}" is not of the form host:port.`);
  return brokers;
}

/** The message repeats nothing of it: a password may be in there. */
function checked(url: string): string {
  if (!URL.canParse(url) || new URL(url).hostname === '')
    throw new UsageError('The address of the broker is not of the form scheme://user:password@host:port.');
  return url;
}
