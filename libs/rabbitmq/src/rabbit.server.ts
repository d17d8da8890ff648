import type { RabbitOptions } from './rabbit.options.js';

/** Where to connect to, as whom. Never logged as a whole. */
export interface RabbitServer {
  readonly host: string;
  readonly port: number;
  readonly username: string;
  readonly password: string;
  readonly vhost: string;
  readonly secure: boolean;
}

interface Servers {
  readonly servers: readonly RabbitServer[];
  readonly faults: readonly string[];
}

const BESIDE_URL = ['host', 'port', 'username', 'password', 'vhost'] as const;

export function serverOf(options: RabbitOptions): Servers {
  const secure = options.tls !== undefined && options.tls !== false;
  const server = {
    host: options.host ?? 'localhost',
    port: options.port ?? (secure ? 5671 : 5672),
    username: options.username ?? 'guest',
    password: options.password ?? 'guest',
    vhost: options.vhost ?? '/',
    secure,
  };
  const faults: string[] = [];
  for (const name of ['host', 'username', 'vhost'] as const)
    if (typeof server[name] !== 'string' || server[name] === '') faults.push(`\`${name}\` must be text`);
  if (typeof server.password !== 'string') faults.push('`password` must be text');
  if (!Number.isInteger(server.port) || server.port < 1 || server.port > 65_535)
    faults.push('`port` must be a whole number from 1 to 65535');
  return { servers: [server], faults };
}

/** Nothing of a URL is in what it says: there is a password in it. */
export function serversOf(url: string | readonly string[], options: RabbitOptions): Servers {
  const faults: string[] = [];
  for (const name of BESIDE_URL)
    if (options[name] !== undefined) faults.push(`\`${name}\` cannot be given beside \`url\`: write it into that`);
  const servers: RabbitServer[] = [];
  const urls: readonly unknown[] = typeof url === 'string' ? [url] : url;
  if (!Array.isArray(urls) || urls.length === 0) faults.push('`url` must be text, or a list of at least one');
  else
    for (const [index, text] of urls.entries()) {
      const server = typeof text === 'string' ? parse(text) : undefined;
      if (server !== undefined) servers.push(server);
      else
        faults.push(
          `${urls.length > 1 ? `the ${index + 1}. of \`url\`` : '`url`'} must be like amqp://user:password@host:5672/vhost`,
        );
    }
  if (new Set(servers.map(({ secure }) => secure)).size > 1) faults.push('`url` must be all amqp:// or all amqps://');
  if (options.tls === false && servers.some(({ secure }) => secure)) faults.push('`tls: false` contradicts amqps://');
  return { servers, faults };
}

function parse(text: string): RabbitServer | undefined {
  try {
    const { protocol, hostname, port, username, password, pathname } = new URL(text);
    if ((protocol !== 'amqp:' && protocol !== 'amqps:') || hostname === '') return undefined;
    const secure = protocol === 'amqps:';
    const path = decodeURIComponent(pathname.slice(1));
    return {
      host: hostname.replace(/^\[|\]$/g, ''),
      port: port === '' ? (secure ? 5671 : 5672) : Number(port),
      username: username === '' ? 'guest' : decodeURIComponent(username),
      password: username === '' && password === '' ? 'guest' : decodeURIComponent(password),
      vhost: path === '' ? '/' : path,
      secure,
    };
  } catch {
    return undefined;
  }
}
