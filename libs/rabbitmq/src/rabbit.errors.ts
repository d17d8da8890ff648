import { EventingError } from 'nestjs-eventing';

/** What waiting will not mend, as the kernel knows it; undefined where trying again may help. */
export function hopeless(error: unknown): EventingError | undefined {
  if (error instanceof EventingError) return error;
  const { message, code } = facts(error);
  if (/ACCESS[-_]REFUSED/.test(message)) {
    return /Login was refused|authentication/.test(message)
      ? coded(
          'EVT_AUTHENTICATION',
          'RabbitMQ refused the credentials. Check the user name and the password of rabbitmq({ … }).',
          error,
        )
      : coded('EVT_AUTHENTICATION', `RabbitMQ does not allow it: ${plain(message)}. Give this user the right to do so.`, error); // prettier-ignore
  }
  if (/SASL mechanism \S+ is not provided/.test(message))
    return coded('EVT_AUTHENTICATION', `RabbitMQ does not let in by user name and password: ${message}.`, error);
  if (/Expected ConnectionOpenOk; got <ConnectionClose/.test(message))
    return coded(
      'EVT_AUTHENTICATION',
      'RabbitMQ did not open the virtual host: it does not exist, or this user may not use it, or has too many connections. Check `vhost` of rabbitmq({ … }), or the path of its `url`, and the permissions of the user.',
      error,
    );
  if (/CERT|^ERR_TLS|^ERR_SSL|SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER)/.test(code))
    return coded('EVT_CONNECTION', `TLS with RabbitMQ failed: ${message}. Check \`tls\` of rabbitmq({ … }).`, error);
  const unequal = /PRECONDITION_FAILED - inequivalent arg '([^']*)' for (queue|exchange) '([^']*)'[^:]*: (.*?)"?$/.exec(message); // prettier-ignore
  if (unequal !== null) {
    const [, argument = '', kind = '', name = '', how = ''] = unequal;
    return coded(
      'EVT_TOPOLOGY',
      `The ${kind} ${name} exists with another \`${argument}\` (${how}). A ${kind} cannot be changed: delete it when it is empty, give the listener or channel another name, or set the options back to what made it.`,
      error,
    );
  }
  const missing = /NOT_FOUND - no (queue|exchange) '([^']*)'/.exec(message);
  if (missing !== null) {
    const [, kind = '', name = ''] = missing;
    return coded('EVT_TOPOLOGY', `There is no ${kind} ${name}: create it, or start with topology: 'create'.`, error);
  }
  if (/PRECONDITION_FAILED - (invalid arg|.*not (supported|permitted)|unknown exchange type)/.test(message))
    return coded('EVT_TOPOLOGY', `RabbitMQ refused: ${plain(message)}.`, error);
  return undefined;
}

/** What is not about one message: the connection, a queue whose leader is away. */
export function connectionError(error: unknown): EventingError {
  return (
    hopeless(error) ??
    coded('EVT_CONNECTION', `RabbitMQ cannot be used for now: ${plain(facts(error).message)}.`, error)
  );
}

export function isMissing(error: unknown): boolean {
  return facts(error).code === '404' || /NOT_FOUND - no (queue|exchange)/.test(facts(error).message);
}

/** What of the messages that are open a closed channel was about. */
export type Refused =
  /** Those to one exchange, or one routing key of it. */
  | { readonly kind: 'route'; readonly exchange: string; readonly routingKey?: string; readonly error: EventingError }
  | { readonly kind: 'missing'; readonly exchange: string }
  | { readonly kind: 'size'; readonly most: number };

/** Which messages made the broker close the channel that they were sent on; undefined: none of them, as far as it says. */
export function refused(error: unknown): Refused | undefined {
  const { message } = facts(error);
  const size = /message size \d+ is larger than (?:configured )?max size (\d+)/.exec(message);
  if (size !== null) return { kind: 'size', most: Number(size[1]) };
  const missing = /NOT_FOUND - no exchange '([^']*)'/.exec(message);
  if (missing !== null) return { kind: 'missing', exchange: missing[1] ?? '' };
  const topic = /ACCESS_REFUSED - .*topic '([^']*)' in exchange '([^']*)'/.exec(message);
  const known = (cause: unknown): EventingError => hopeless(cause) ?? connectionError(cause);
  if (topic !== null)
    return { kind: 'route', routingKey: topic[1] ?? '', exchange: topic[2] ?? '', error: known(error) };
  const exchange = /ACCESS_REFUSED - .*exchange '([^']*)'/.exec(message);
  if (exchange === null) return undefined;
  // So is the default exchange called in what the broker says.
  const name = exchange[1] === 'amq.default' ? '' : (exchange[1] ?? '');
  return { kind: 'route', exchange: name, error: known(error) };
}

/** What the broker said, without the client library's words around it. */
function plain(message: string): string {
  return /with message "(.*)"$/.exec(message)?.[1] ?? message;
}

function facts(error: unknown): { readonly message: string; readonly code: string } {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : '';
  return { message: error instanceof Error ? error.message : String(error), code: String(code) };
}

function coded(
  code: 'EVT_AUTHENTICATION' | 'EVT_CONNECTION' | 'EVT_TOPOLOGY',
  text: string,
  cause: unknown,
): EventingError {
  // prettier-ignore
  return new EventingError(code, text, { cause });
}
