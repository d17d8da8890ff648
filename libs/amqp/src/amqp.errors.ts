import { EventingError, type ErrorCode } from 'nestjs-eventing';

/** What the broker says of an error: a condition of AMQP's, `amqp:not-found`, and a text. */
export class BrokerError extends Error {
  override readonly name = 'BrokerError';
  constructor(
    readonly condition: string,
    description: string,
  ) {
    super(description === '' ? condition : description);
  }
}

const UNAUTHORIZED = 'amqp:unauthorized-access';
/** Artemis's numbers for a user that may not do it, and for one it does not know; and RabbitMQ's words. */
const NOT_ALLOWED = /AMQ229(031|032|213)|does not have permission|access to .+ refused/;
/** Node's and OpenSSL's names for a certificate that will not become valid by waiting. */
const CERTIFICATE = /CERT|^ERR_TLS|^ERR_SSL|SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER)|WRONG_VERSION_NUMBER/;

/** rhea hands errors over as Errors, as its own objects, or not at all. */
export function asError(thrown: unknown, otherwise: string): Error {
  const { condition, description, message } = (thrown ?? {}) as Record<string, unknown>;
  if (typeof condition === 'string')
    return new BrokerError(
      condition,
      typeof description === 'string' ? description : typeof message === 'string' ? message : '',
    );
  return thrown instanceof Error ? thrown : new Error(otherwise);
}

/** An error that waiting will not mend, as the kernel knows it; undefined where trying again may help. */
export function hopeless(error: unknown): EventingError | undefined {
  if (error instanceof EventingError) return error.code === 'EVT_CONNECTION' ? undefined : error;
  if (!(error instanceof Error)) return undefined;
  const { message: text } = error;
  if (isForbidden(error)) return forbidden(error);
  const { code = '' } = error as NodeJS.ErrnoException;
  if (CERTIFICATE.test(code)) return new FinalConnectionError(`TLS with the broker failed: ${text}. Check \`tls\` of amqp({ … }).`, error); // prettier-ignore
  if (error.name === 'ProtocolError')
    return new FinalConnectionError(
      `What answers at \`host\` and \`port\` of amqp({ … }) does not speak AMQP 1.0 as asked: ${text}.`,
      error,
    );
  return undefined;
}

/** Codes are for people; that it is final must be seen by `hopeless` too. */
class FinalConnectionError extends EventingError {
  constructor(message: string, cause: Error) {
    super('EVT_CONNECTION', message, { cause });
  }
}

export function isForbidden(error: Error): boolean {
  return (error instanceof BrokerError && error.condition === UNAUTHORIZED) || NOT_ALLOWED.test(error.message);
}

export function isMissing(error: unknown): boolean {
  return (
    (error instanceof BrokerError && error.condition === 'amqp:not-found') ||
    (error instanceof Error && /AMQ229(017|067|203)/.test(error.message))
  );
}

function forbidden(error: Error): EventingError {
  const text = NOT_ALLOWED.test(error.message)
    ? `The broker does not allow it: ${error.message}. Give this user the right to do so; docs/providers/amqp.md lists the rights.`
    : `The broker refused the credentials (${error.message}). Check \`username\` and \`password\` of amqp({ … }), and what this user may do.`;
  return new EventingError('EVT_AUTHENTICATION', text, { cause: error });
}

/** What is not about one message. */
export function connectionError(error: unknown): EventingError {
  if (error instanceof EventingError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return (
    hopeless(error) ??
    new EventingError('EVT_CONNECTION', `The broker cannot be used for now: ${message}.`, { cause: error })
  );
}

/** Why one message was not taken. */
export function refusal(error: Error, target: string, indeterminate = false): EventingError {
  if (error instanceof EventingError) return error;
  let code: ErrorCode = 'EVT_PUBLISH_FAILED';
  let remedy = '';
  if (error instanceof BrokerError && /size-exceeded|too-large/.test(error.condition)) {
    code = 'EVT_BODY_TOO_LARGE';
    remedy = ' Send less, or raise the limit of the address.';
  } else if (isForbidden(error)) remedy = ' Give this user the right to send there.';
  else if (error instanceof BrokerError && error.condition === 'amqp:resource-limit-exceeded')
    remedy = ' Its address is full: let its listeners catch up, or raise its `max-size-bytes`.';
  return new EventingError(code, `The broker did not take an event for ${target}: ${error.message}.${remedy}`, {
    cause: error,
    indeterminate,
  });
}
