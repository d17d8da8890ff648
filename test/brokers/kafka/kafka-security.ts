import type { Java } from '../java/java.js';
import { selfSignedStore } from '../java/key-store.js';
import type { KafkaAccess, KafkaSecurity } from './kafka-options.js';

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
  const tls = security === 'tls' || security === 'sasl-tls' ? await selfSignedStore(java, folder, PASSWORD) : undefined;
  return {
    protocol: tls ? (sasl ? 'SASL_SSL' : 'SSL') : sasl ? 'SASL_PLAINTEXT' : 'PLAINTEXT',
    properties: { ...(sasl && SASL_PROPERTIES), ...(tls && tlsProperties(tls.file)) },
    access: { ...(sasl && { sasl: SASL }), ...(tls && { ssl: { ca: tls.certificate } }) },
  };
}

const SASL_PROPERTIES = {
  'listener.name.client.sasl.enabled.mechanisms': 'PLAIN',
  'listener.name.client.plain.sasl.jaas.config': `org.apache.kafka.common.security.plain.PlainLoginModule required user_${SASL.username}="${SASL.password}";`,
};

function tlsProperties(keyStore: string) {
  return {
    'listener.name.client.ssl.keystore.type': 'PKCS12',
    'listener.name.client.ssl.keystore.location': keyStore,
    'listener.name.client.ssl.keystore.password': PASSWORD,
  };
}
