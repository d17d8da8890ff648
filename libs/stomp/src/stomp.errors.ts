import { EventingError } from 'nestjs-eventing';

/** Why a connection ended, or an operation did not succeed. `text` is the broker's own. */
export class StompFault extends Error {
  override readonly name = 'StompFault';

  constructor(
    readonly text: string,
    readonly details: {
      /** The broker said so: an ERROR frame, or the answer of its management. Otherwise the connection is gone. */
      readonly refused: boolean;
      /** Of the frame that was refused, where the broker tells. */
      readonly receipt?: string;
      readonly cause?: unknown;
    },
  ) {
    super(text, details.cause === undefined ? undefined : { cause: details.cause });
  }

  get refused(): boolean {
    return this.details.refused;
  }
}

const CREDENTIALS = /AMQ229031|Security Error occurred|password is invalid|Access refused|Bad CONNECT/i;
const NOT_ALLOWED = /AMQ229032|AMQ229213|does not have permission/;
/** Artemis says no more of what it did not take; why, it says in its log alone. */
const NO_REASON = /AMQ339011|AMQ339016/;
const RIGHTS =
  '`send` and `manage` on activemq.management, `consume` and `createNonDurableQueue` on the replies of the service, `send` and `consume` on the channels';
/** The broker is on its way down or up, or asks for patience. */
const PASSING =
  /AMQ339000|shut|stopp|starting|Connection.*(closed|destroyed)|timed? ?out|AMQ229017|AMQ229119|AMQ219019/i;
/** Node's and OpenSSL's names for a certificate that will not become valid by waiting. */
const CERTIFICATE = /CERT|^ERR_TLS|^ERR_SSL|SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER)|WRONG_VERSION_NUMBER/;
const VERSION = /version/i;

/** An error that waiting will not mend, as the kernel knows it; undefined where trying again may help. */
export function hopeless(error: unknown): EventingError | undefined {
  if (error instanceof EventingError) return error.code === 'EVT_CONNECTION' ? undefined : error;
  if (!(error instanceof StompFault)) return undefined;
  const { text } = error;
  const cause = { cause: error };
  const code = (error.details.cause as { code?: unknown } | undefined)?.code;
  if (!error.refused && typeof code === 'string' && CERTIFICATE.test(code))
    return new EventingError(
      'EVT_CONNECTION',
      `TLS with the broker failed: ${text}. Check \`tls\` of stomp({ … }).`,
      cause,
    );
  if (!error.refused || PASSING.test(text)) return undefined;
  if (NOT_ALLOWED.test(text))
    return new EventingError(
      'EVT_AUTHENTICATION',
      `The broker does not allow it: ${text}. Give this user the right to do so.`,
      cause,
    );
  if (NO_REASON.test(text))
    return new EventingError(
      'EVT_AUTHENTICATION',
      `The broker refused (${text}), and only its log says why. Mostly the user lacks a right: it needs ${RIGHTS}.`,
      cause,
    );
  if (CREDENTIALS.test(text))
    return new EventingError(
      'EVT_AUTHENTICATION',
      'The broker refused the credentials. Check `username` and `password` of stomp({ … }).',
      cause,
    );
  if (VERSION.test(text))
    return new EventingError('EVT_CONNECTION', `The broker does not speak STOMP 1.2: ${text}.`, cause);
  return new EventingError('EVT_TOPOLOGY', `The broker refused: ${text}.`, cause);
}

/** The end of a certificate is hopeless and yet a matter of the connection. */
export function connectionError(error: unknown): EventingError {
  if (error instanceof EventingError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return (
    hopeless(error) ??
    new EventingError('EVT_CONNECTION', `The broker cannot be used for now: ${message}.`, { cause: error })
  );
}

/** Whether a refusal is of the message that was refused, and not of the moment. */
export function isFinal({ refused, text }: StompFault): boolean {
  return refused && !PASSING.test(text);
}

export function refusal(error: StompFault, destination: string): EventingError {
  const remedy = NO_REASON.test(error.text)
    ? ' Only its log says why; mostly the user lacks the right to `send` there, or the address is full.'
    : NOT_ALLOWED.test(error.text)
      ? ' Give this user the right to `send` there.'
      : '';
  return new EventingError(
    'EVT_PUBLISH_FAILED',
    `The broker did not take an event for ${destination}: ${error.text}.${remedy}`,
    { cause: error },
  );
}
