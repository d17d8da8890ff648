import { ADMINISTRATOR } from '../credentials.js';
import type { RabbitMqUser } from './rabbitmq-options.js';

export interface RabbitMqListeners {
  /** Where to listen, for example `127.0.0.1`. */
  readonly host: string;
  readonly port: number;
  readonly stompPort: number;
  readonly tls?: RabbitMqTlsListeners | undefined;
}

export interface RabbitMqTlsListeners {
  readonly port: number;
  readonly stompPort: number;
  readonly keyFile: string;
  readonly certificateFile: string;
}

export interface RabbitMqConfig {
  readonly listeners: RabbitMqListeners;
  readonly definitionsFile: string;
  readonly extra: Readonly<Record<string, string>>;
}

/** The plugins to enable where they are there: AMQP 1.0 is one until RabbitMQ 4, and belongs to the core from then on. */
export const PLUGINS = ['rabbitmq_amqp1_0', 'rabbitmq_stomp'];

export function enabledPlugins(names: readonly string[]): string {
  return `[${names.join()}].\n`;
}

/** The rabbitmq.conf of a node. */
export function rabbitMqConf({ listeners, definitionsFile, extra }: RabbitMqConfig): string {
  const { host, port, stompPort, tls } = listeners;
  const settings = {
    'listeners.tcp.default': `${host}:${port}`,
    'stomp.listeners.tcp.1': `${host}:${stompPort}`,
    ...(tls && tlsSettings(host, tls)),
    'definitions.import_backend': 'local_filesystem',
    'definitions.local.path': definitionsFile,
    // Else each restart would undo what a test did to these users.
    'definitions.skip_if_unchanged': 'true',
    // A small or rather full machine must not make the broker block its publishers; tests ask for that by themselves.
    'disk_free_limit.absolute': '1MB',
    'vm_memory_high_watermark.relative': '0.9',
    'log.console': 'true',
    'log.file': 'false',
    'log.console.level': process.env['RABBITMQ_LOG_LEVEL'] ?? 'warning',
    ...extra,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
  return `${lines.join('\n')}\n`;
}

function tlsSettings(host: string, { port, stompPort, keyFile, certificateFile }: RabbitMqTlsListeners) {
  return {
    'listeners.ssl.default': `${host}:${port}`,
    'stomp.listeners.ssl.1': `${host}:${stompPort}`,
    'ssl_options.cacertfile': certificateFile,
    'ssl_options.certfile': certificateFile,
    'ssl_options.keyfile': keyFile,
    // Clients prove who they are by their password.
    'ssl_options.verify': 'verify_none',
  };
}

/** What the node knows at its first start: as JSON, in the format of `rabbitmqctl import_definitions`. */
export function definitions(users: readonly RabbitMqUser[]): string {
  const everything = { configure: '.*', write: '.*', read: '.*' };
  const all = [
    { ...ADMINISTRATOR, ...everything, tags: 'administrator' },
    ...users.map((user) => ({ ...user, tags: '' })),
  ];
  return JSON.stringify({
    vhosts: [{ name: '/' }],
    users: all.map(({ username, password, tags }) => ({ name: username, password, tags })),
    permissions: all.map(({ username, configure = '', write = '', read = '' }) => {
      return { user: username, vhost: '/', configure, write, read };
    }),
  });
}
