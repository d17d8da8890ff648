import { EventingError, type ErrorCode } from 'nestjs-eventing';

/** SQLSTATE classes and codes of a server that goes, comes, or is not what was connected to. */
const LOST = /^(08...|57P0[1-5]|25P03|XX...)$/;
/** Conditions that pass: out of something, a conflict, a server that only reads, for now. */
const PASSING = /^(53...|40001|40P01|55P03|57014|25006|55006|58...)$/;
/** Node's names for what went wrong outside of this process, whatever it was: only the server's word tells what became of a statement. */
const SOCKET = /^(E[A-Z]{3,}$|EAI_|ERR_SSL|ERR_TLS|ERR_STREAM|ERR_SOCKET)/;
const TLS = /CERT|^ERR_TLS|^ERR_SSL|SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER)/;
/** What the client libraries say without any code. */
const CLIENT_LOST =
  /Connection terminated|timeout exceeded when trying to connect|Query read timeout|timeout expired|connection is closed|not queryable|closed the connection|was closed|did not answer within/i;

/** Nothing can be said of what the statement did, and its connection cannot be used any more. */
export function isLostConnection(error: unknown): boolean {
  const { code, message } = facts(error);
  if (isSqlState(code)) return LOST.test(code);
  return SOCKET.test(code) || CLIENT_LOST.test(message);
}

/** The same statement may succeed later, unchanged. */
export function mayPass(error: unknown): boolean {
  return isLostConnection(error) || PASSING.test(facts(error).code);
}

/** By which a failure is known for another one when it is told: all losses of the connection are one. */
export function reasonOf(error: unknown): string {
  const { code, message } = facts(error);
  return isLostConnection(error) ? 'lost' : `${code} ${message}`;
}

/** A lock was not had in the time that was set for it, also where that is told as the cause of what failed. */
export function isLockTimeout(error: unknown): boolean {
  return facts(error).code === '55P03' || (error instanceof Error && facts(error.cause).code === '55P03');
}

/** Our tables are not there, or not as they should be: somebody dropped or restored them meanwhile. */
export function isMissingTable(error: unknown): boolean {
  return ['42P01', '3F000'].includes(facts(error).code);
}

/** What waiting will not mend, as the kernel knows it; undefined where trying again may help. */
export function hopeless(error: unknown): EventingError | undefined {
  if (error instanceof EventingError) return error;
  const { code, message } = facts(error);
  switch (code) {
    case '28P01':
    case '28000':
      return coded('EVT_AUTHENTICATION', `PostgreSQL refused the credentials (${message}). Check \`user\` and \`password\` of postgres({ … }).`, error); // prettier-ignore
    case '3D000':
      return coded('EVT_TOPOLOGY', `PostgreSQL says: ${message}. Create the database, or check \`database\` of postgres({ … }).`, error); // prettier-ignore
    case '42501':
      return coded('EVT_AUTHENTICATION', `PostgreSQL does not allow it: ${message}. Give this user the right to do so: USAGE on the schema with SELECT, INSERT, UPDATE and DELETE on its tables, and CREATE on the database where it is to create them.`, error); // prettier-ignore
    case '25006':
      return coded('EVT_READ_ONLY', `PostgreSQL only reads here (${message}). Connect to the primary, e.g. with target_session_attrs, or end its read-only mode.`, error); // prettier-ignore
    default:
      break;
  }
  if (/^SASL|password must be a string/.test(message))
    return coded('EVT_AUTHENTICATION', `PostgreSQL asks for a password (${message}). Check \`password\` of postgres({ … }).`, error); // prettier-ignore
  if (TLS.test(code) || /does not support SSL/.test(message))
    return coded('EVT_CONNECTION', `TLS with PostgreSQL failed: ${message}. Check \`ssl\` of postgres({ … }).`, error);
  if (isMissingTable(error))
    return coded('EVT_TOPOLOGY', `PostgreSQL says: ${message}. Run \`npx eventing migrate\`.`, error);
  return undefined;
}

/** The cluster has had fewer transactions than what is stored tells of. */
export function foreignCluster(schema: string): EventingError {
  return new EventingError(
    'EVT_TOPOLOGY',
    `The events and positions in ${schema} are of transactions that this cluster has not had yet: a dump was restored into a new one. ` +
      'Move its next transaction beyond them with pg_resetwal, or restore a physical backup; see docs/providers/postgres.md.',
  );
}

/** A member was silent for as long as its leases last. */
export function lostLease(subscription: string, sources: readonly string[]): EventingError {
  const some =
    sources.length > 5 ? `${sources.slice(0, 5).join(', ')} and ${sources.length - 5} more` : sources.join(', ');
  return new EventingError(
    'EVT_LEASE_LOST',
    `${subscription} lost ${some}: its leases were not renewed in time (\`leaseTime\`). What was not settled comes back.`,
  );
}

/** What is not about one message: the connection, the disk, the role of the server. */
export function connectionError(error: unknown): EventingError {
  const final = hopeless(error);
  if (final !== undefined) return final;
  const { code, message } = facts(error);
  if (code === '53100')
    return coded('EVT_DISK_FULL', `The disk of PostgreSQL is full (${message}). Make room, or keep less (\`retention\`).`, error); // prettier-ignore
  return coded('EVT_CONNECTION', `PostgreSQL cannot be used for now: ${message}.`, error);
}

/** Why one message was not taken. */
export function refusal(error: unknown, channel: string): EventingError {
  if (error instanceof EventingError) return error;
  const known = hopeless(error);
  if (known !== undefined) return known;
  return coded(
    'EVT_PUBLISH_FAILED',
    `PostgreSQL did not take an event for ${channel}: ${facts(error).message}.`,
    error,
  );
}

function isSqlState(code: string): boolean {
  return /^[0-9A-Z]{5}$/.test(code) && /\d/.test(code);
}

/** Nothing of the values that were bound is in here: PostgreSQL puts them into `detail`, which is not shown. */
function facts(error: unknown): { readonly message: string; readonly code: string } {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : '';
  return {
    message: error instanceof Error ? error.message : String(error),
    code: typeof code === 'string' ? code : '',
  };
}

function coded(code: ErrorCode, text: string, cause: unknown): EventingError {
  return new EventingError(code, text, { cause });
}

/** There was no connection to send a statement on: it was certainly not run. */
export class NotConnectedError extends Error {
  override readonly name = 'NotConnectedError';
  readonly code: string;
  constructor(cause: unknown) {
    const { code, message } = facts(cause);
    super(message, { cause });
    this.code = code;
  }
}
