import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { javaTool, type Java } from './java.js';
import type { KafkaAccess, KafkaSecurity } from './kafka-options.js';

const run = promisify(execFile);

const PASSWORD = 'test-password';
const SASL = { mechanism: 'plain', username: 'test-user', password: PASSWORD } as const;

export interface ListenerSecurity {
  /** Kafka's name of the protocol of the listener for clients. */
  readonly protocol: 'PLAINTEXT' | 'SASL_PLAINTEXT' | 'SSL' | 'SASL_SSL';
  readonly properties: Readonly<Record<string, string>>;
  readonly access: Omit<KafkaAccess, 'brokers'>;
}

/** Secures the listener for clients; certificates go into the folder. */
export async function secureListener(security: KafkaSecurity, java: Java, folder: string): Promise<ListenerSecurity> {
  const sasl = security === 'sasl-plain' || security === 'sasl-tls';
  const tls = security === 'tls' || security === 'sasl-tls' ? await selfSigned(java, folder) : undefined;
  return {
    protocol: tls ? (sasl ? 'SASL_SSL' : 'SSL') : sasl ? 'SASL_PLAINTEXT' : 'PLAINTEXT',
    properties: { ...(sasl && SASL_PROPERTIES), ...tls?.properties },
    access: { ...(sasl && { sasl: SASL }), ...(tls && { ssl: { ca: tls.certificate } }) },
  };
}

const SASL_PROPERTIES = {
  'listener.name.client.sasl.enabled.mechanisms': 'PLAIN',
  'listener.name.client.plain.sasl.jaas.config': `org.apache.kafka.common.security.plain.PlainLoginModule required user_${SASL.username}="${SASL.password}";`,
};

/** By the keytool that comes with Java: Node can make keys but no certificates. */
async function selfSigned(java: Java, folder: string) {
  const store = join(folder, 'listener.p12');
  const certificate = join(folder, 'listener.pem');
  const keytool = (...args: string[]) =>
    run(javaTool(java, 'keytool'), [...args, '-alias', 'listener', '-keystore', store, '-storepass', PASSWORD]);
  const subject = ['-dname', 'CN=localhost', '-ext', 'san=ip:127.0.0.1,dns:localhost', '-validity', '30'];
  await keytool('-genkeypair', '-keyalg', 'EC', '-storetype', 'PKCS12', ...subject);
  await keytool('-exportcert', '-rfc', '-file', certificate);
  return {
    certificate: await readFile(certificate, 'utf8'),
    properties: {
      'listener.name.client.ssl.keystore.type': 'PKCS12',
      'listener.name.client.ssl.keystore.location': store,
      'listener.name.client.ssl.keystore.password': PASSWORD,
    },
  };
}
