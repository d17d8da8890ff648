import protocolErrors from 'kafkajs/src/protocol/error.js';
import { DriverError, StaleMemberError } from './kafka.driver.js';

interface KafkaCode {
  readonly type: string;
  readonly retriable: boolean;
  readonly message: string;
}

const CODES: ReadonlyMap<number, KafkaCode> = new Map([
  ...protocolErrors.errorCodes.map((code): [number, KafkaCode] => [code.code, code]),
  // Later than kafkajs.
  [88, { type: 'UNSTABLE_OFFSET_COMMIT', retriable: true, message: 'a transaction over it is being ended' }],
  [90, { type: 'PRODUCER_FENCED', retriable: false, message: 'a newer producer has this identity' }],
]);

/** The group has gone on without this member, or waits for it to join again. */
const STALE = new Set(['ILLEGAL_GENERATION', 'UNKNOWN_MEMBER_ID', 'FENCED_INSTANCE_ID', 'REBALANCE_IN_PROGRESS']);

/** Kafka's code as an error; undefined for 0. */
export function errorOfCode(code: number, what: string): DriverError | undefined {
  if (code === 0) return undefined;
  const known = CODES.get(code);
  const type = known?.type ?? `CODE_${code}`;
  const message = `${what}: ${known?.message ?? 'an error unknown to this client'} (${type})`;
  return STALE.has(type) ? new StaleMemberError(type, message) : new DriverError(type, message);
}

export function throwOnCode(code: number, what: string): void {
  const error = errorOfCode(code, what);
  if (error !== undefined) throw error;
}

export function isRetriable(error: DriverError): boolean {
  for (const code of CODES.values()) if (code.type === error.type) return code.retriable;
  return false;
}

/** Said by a broker, rather than by a connection that broke. */
export function isAnswer(error: DriverError): boolean {
  for (const code of CODES.values()) if (code.type === error.type) return true;
  return error.type.startsWith('CODE_');
}

/** Anything thrown inside kafkajs or a socket. */
export function asDriverError(error: unknown): DriverError {
  if (error instanceof DriverError) return error;
  const fields = error as { type?: unknown; code?: unknown; name?: unknown };
  const type = [fields.type, fields.code, fields.name].find((field) => typeof field === 'string') ?? 'UNKNOWN';
  return new DriverError(type, error instanceof Error ? error.message : String(error), { cause: error });
}
