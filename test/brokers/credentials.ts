/** The user that may do everything on a broker of our own. */
export const ADMINISTRATOR = { username: 'test-user', password: 'test-password' } as const;

/** A client's address with its user. */
export function clientUrl(
  scheme: 'amqp' | 'amqps' | 'stomp',
  to: { readonly host: string; readonly port: number; readonly username: string; readonly password: string },
): string {
  const user = `${encodeURIComponent(to.username)}:${encodeURIComponent(to.password)}`;
  return `${scheme}://${user}@${to.host}:${to.port}`;
}
