import { EventingError } from 'nestjs-eventing';
import { DriverError } from './kafka.driver.js';

const CREDENTIALS = new Set([
  'SASL_AUTHENTICATION_FAILED',
  'UNSUPPORTED_SASL_MECHANISM',
  'ILLEGAL_SASL_STATE',
  'KafkaJSSASLAuthenticationError',
]);
const NOT_ALLOWED = /_AUTHORIZATION_FAILED$/;
/** Node's and OpenSSL's names for a certificate that will not become valid by waiting. */
const CERTIFICATE = /CERT|^ERR_TLS|^ERR_SSL|SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER)/;
const NEVER = new Set([
  'UNSUPPORTED_VERSION',
  'INVALID_TOPIC_EXCEPTION',
  'POLICY_VIOLATION',
  'INVALID_REPLICATION_FACTOR',
  'INVALID_CONFIG',
  'INVALID_PARTITIONS',
  'INVALID_REQUEST',
  'INVALID_TRANSACTION_TIMEOUT',
  // of groups: a member of another program is in it, or the broker's limits do not allow ours
  'INCONSISTENT_GROUP_PROTOCOL',
  'INVALID_SESSION_TIMEOUT',
  'INVALID_GROUP_ID',
  'GROUP_MAX_SIZE_REACHED',
]);

/** An error that waiting will not mend, as the kernel knows it; undefined where trying again may help. */
export function hopeless(error: unknown): EventingError | undefined {
  if (error instanceof EventingError) return error;
  if (!(error instanceof DriverError)) return undefined;
  const { type, message } = error;
  if (CREDENTIALS.has(type)) {
    return new EventingError(
      'EVT_AUTHENTICATION',
      `Kafka refused the credentials (${message}). Check \`sasl\` of kafka({ … }).`,
      { cause: error },
    );
  }
  if (NOT_ALLOWED.test(type)) {
    return new EventingError(
      'EVT_AUTHENTICATION',
      `Kafka does not allow it: ${message}. Give this user the right to do so.`,
      {
        cause: error,
      },
    );
  }
  if (CERTIFICATE.test(type) || CERTIFICATE.test(message)) {
    return new EventingError('EVT_CONNECTION', `TLS with Kafka failed: ${message}. Check \`ssl\` of kafka({ … }).`, {
      cause: error,
    });
  }
  if (NEVER.has(type)) return new EventingError('EVT_TOPOLOGY', `Kafka refused: ${message}.`, { cause: error });
  return undefined;
}

/** What is not about one message: the connection, a missing leader. */
export function connectionError(error: unknown): EventingError {
  const message = error instanceof Error ? error.message : String(error);
  return (
    hopeless(error) ??
    new EventingError('EVT_CONNECTION', `Kafka cannot be used for now: ${message}.`, { cause: error })
  );
}

export function refusal(error: Error, channel: string): EventingError {
  if (error instanceof EventingError) return error;
  const type = error instanceof DriverError ? error.type : '';
  if (type === 'MESSAGE_TOO_LARGE' || type === 'RECORD_LIST_TOO_LARGE') {
    return new EventingError(
      'EVT_BODY_TOO_LARGE',
      `An event for ${channel} is larger than the topic allows. Raise \`max.message.bytes\` of the topic, or send less.`,
      { cause: error },
    );
  }
  if (NOT_ALLOWED.test(type)) return connectionError(error);
  return new EventingError('EVT_PUBLISH_FAILED', `Kafka did not take an event for ${channel}: ${error.message}.`, {
    cause: error,
  });
}

/** Of positions that a transaction may still change, for longer than transactions take to end. */
export function unstableText(group: string, sources: readonly string[]): string {
  return (
    `EVT_POSITION: ${group} waits in ${sources.join(', ')}: a transaction over its position there has not ended (UNSTABLE_OFFSET_COMMIT), ` +
    'and going on could repeat outputs. It ends by itself within `transactionTimeout`. If it does not, the broker has forgotten it, as Kafka 4.3.0 to ' +
    '4.4.0 do (KAFKA-20734): kafka-transactions.sh find-hanging shows it, and abort ends it; on a broker for development drop the group.'
  );
}

/** What to do about a transaction that brokers do not take; a sentence. */
export function remedyOf(error: Error): string {
  const type = error instanceof DriverError ? error.type : '';
  if (NOT_ALLOWED.test(type)) return 'Give this user the right to do so.';
  return REMEDIES.get(type) ?? 'Nothing is lost, and it is tried again.';
}

const REPLICAS =
  'Bring its replicas back, or lower `min.insync.replicas`; of `__transaction_state` and `__consumer_offsets` too.';
const LARGER = 'Raise `max.message.bytes` of the topic.';
const REMEDIES: ReadonlyMap<string, string> = new Map([
  ['NOT_ENOUGH_REPLICAS', REPLICAS],
  ['NOT_ENOUGH_REPLICAS_AFTER_APPEND', REPLICAS],
  ['REQUEST_TIMED_OUT', REPLICAS],
  ['GROUP_COORDINATOR_NOT_AVAILABLE', REPLICAS],
  ['COORDINATOR_NOT_AVAILABLE', REPLICAS],
  ['CONCURRENT_TRANSACTIONS', REPLICAS],
  ['MESSAGE_TOO_LARGE', LARGER],
  ['RECORD_LIST_TOO_LARGE', LARGER],
  ['UNKNOWN_TOPIC_OR_PARTITION', 'Create the topic, or allow this package to.'],
]);
