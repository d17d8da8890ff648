import { ADMINISTRATOR } from '../credentials.js';
import type { ArtemisOptions, ArtemisPermission, ArtemisUser } from './artemis-options.js';

export interface ArtemisListeners {
  /** AMQP and CORE. */
  readonly port: number;
  readonly stompPort: number;
  readonly tls?: ArtemisTlsListeners | undefined;
}

export interface ArtemisTlsListeners {
  readonly port: number;
  readonly stompPort: number;
  readonly keyStore: string;
  readonly keyStorePassword: string;
}

export type ArtemisConfig = Pick<ArtemisOptions, 'users' | 'addressSettings' | 'settings' | 'idleTimeout'> & {
  readonly listeners: ArtemisListeners;
  /** Its absolute path. */
  readonly data: string;
};

/** The name under which login.config tells how users prove who they are. */
export const LOGIN_DOMAIN = 'eventing';
const ADMIN_ROLE = 'admin';

const PERMISSIONS: readonly ArtemisPermission[] = [
  'createAddress',
  'deleteAddress',
  'createDurableQueue',
  'deleteDurableQueue',
  'createNonDurableQueue',
  'deleteNonDurableQueue',
  'send',
  'consume',
  'browse',
  'manage',
];

/** The broker.xml of a broker: what a fresh `artemis create` makes, without its console and its other protocols. */
export function brokerXml(config: ArtemisConfig): string {
  return `<?xml version="1.0" encoding="UTF-8"?>
<configuration xmlns="urn:activemq">
  <core xmlns="urn:activemq:core">
${elements({ ...coreSettings(config.data), ...config.settings })}
    <acceptors>
${acceptors(config.listeners, config.idleTimeout)}
    </acceptors>
    <security-settings>
${securitySettings(config.users ?? [])}
    </security-settings>
    <address-settings>
${addressSettings(config.addressSettings ?? {})}
    </address-settings>
    <addresses>
      <address name="DLQ"><anycast><queue name="DLQ"/></anycast></address>
      <address name="ExpiryQueue"><anycast><queue name="ExpiryQueue"/></anycast></address>
    </addresses>
  </core>
</configuration>
`;
}

function coreSettings(data: string) {
  return {
    name: 'test',
    'persistence-enabled': 'true',
    // Runs everywhere; the faster ones need a native library.
    'journal-type': 'NIO',
    'journal-datasync': 'true',
    // Nanoseconds that a write may wait to share its sync. A fresh installation sets what it measures of its disk.
    'journal-buffer-timeout': '200000',
    'journal-min-files': '2',
    'journal-pool-files': '10',
    'journal-file-size': '10M',
    'journal-directory': `${data}/journal`,
    'bindings-directory': `${data}/bindings`,
    'large-messages-directory': `${data}/large-messages`,
    'paging-directory': `${data}/paging`,
    // A rather full disk must not make the broker block its senders.
    'max-disk-usage': '-1',
    // It would halt a broker that was suspended.
    'critical-analyzer': 'false',
  };
}

function acceptors({ port, stompPort, tls }: ArtemisListeners, idleTimeout: number | undefined): string {
  const amqp = {
    protocols: 'CORE,AMQP',
    ...AMQP_PARAMETERS,
    ...(idleTimeout === undefined ? {} : { amqpIdleTimeout: String(idleTimeout) }),
  };
  const all = [acceptor('amqp', port, amqp), acceptor('stomp', stompPort, { protocols: 'STOMP' })];
  if (tls) {
    const secure = {
      sslEnabled: 'true',
      keyStoreType: 'PKCS12',
      keyStorePath: tls.keyStore,
      keyStorePassword: tls.keyStorePassword,
    };
    all.push(acceptor('amqp-tls', tls.port, { ...amqp, ...secure }));
    all.push(acceptor('stomp-tls', tls.stompPort, { protocols: 'STOMP', ...secure }));
  }
  return all.join('\n');
}

/** As `artemis create` sets them. */
const AMQP_PARAMETERS = {
  amqpCredits: '1000',
  amqpLowCredits: '300',
  amqpMinLargeMessageSize: '102400',
  amqpDuplicateDetection: 'true',
};

function acceptor(name: string, port: number, parameters: Readonly<Record<string, string>>): string {
  const all = Object.entries({ securityDomain: LOGIN_DOMAIN, ...parameters });
  const query = all.map(([key, value]) => `${key}=${value}`).join(';');
  return `      <acceptor name="${name}">${escapeXml(`tcp://127.0.0.1:${port}?${query}`)}</acceptor>`;
}

function securitySettings(users: readonly ArtemisUser[]): string {
  // The most specific pattern alone counts: hence the administrator in each of them.
  const patterns = new Set(['#', ...users.flatMap(({ permissions }) => Object.keys(permissions ?? {}))]);
  return [...patterns]
    .map((pattern) => {
      const lines = PERMISSIONS.map((permission) => {
        const entitled = users.filter(({ permissions }) => permissions?.[pattern]?.includes(permission));
        const roles = [ADMIN_ROLE, ...entitled.map(({ username }) => username)].join();
        return `        <permission type="${permission}" roles="${escapeXml(roles)}"/>`;
      });
      return `      <security-setting match="${escapeXml(pattern)}">\n${lines.join('\n')}\n      </security-setting>`;
    })
    .join('\n');
}

function addressSettings(overrides: NonNullable<ArtemisOptions['addressSettings']>): string {
  const fresh: Readonly<Record<string, Readonly<Record<string, string>>>> = {
    'activemq.management.#': FRESH_ADDRESS_SETTINGS,
    '#': { ...FRESH_ADDRESS_SETTINGS, 'page-size-bytes': '10M', 'max-read-page-bytes': '20M' },
  };
  return [...new Set([...Object.keys(fresh), ...Object.keys(overrides)])]
    .map((pattern) => {
      const settings = elements({ ...fresh[pattern], ...overrides[pattern] });
      return `      <address-setting match="${escapeXml(pattern)}">\n${settings}\n      </address-setting>`;
    })
    .join('\n');
}

const FRESH_ADDRESS_SETTINGS = {
  'dead-letter-address': 'DLQ',
  'expiry-address': 'ExpiryQueue',
  'redelivery-delay': '0',
  'max-size-bytes': '-1',
  'address-full-policy': 'PAGE',
  'auto-create-queues': 'true',
  'auto-create-addresses': 'true',
  'auto-delete-queues': 'false',
  'auto-delete-addresses': 'false',
};

/** The files of users and of roles; a user's own role has the user's name. */
export function userProperties(users: readonly ArtemisUser[]): string {
  return [ADMINISTRATOR, ...users].map(({ username, password }) => `${username}=${password}\n`).join('');
}

export function roleProperties(users: readonly ArtemisUser[]): string {
  const own = users.map(({ username }) => `${username}=${username}\n`);
  return [`${ADMIN_ROLE}=${ADMINISTRATOR.username}\n`, ...own].join('');
}

/** For Java's own login mechanism, which Artemis uses. */
export function loginConfig(folder: string): string {
  return `${LOGIN_DOMAIN} {
  org.apache.activemq.artemis.spi.core.security.jaas.PropertiesLoginModule required
    baseDir="${folder}"
    org.apache.activemq.jaas.properties.user="users.properties"
    org.apache.activemq.jaas.properties.role="roles.properties";
};
`;
}

function elements(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `    <${name}>${escapeXml(value)}</${name}>`)
    .join('\n');
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
