import { EventingError } from 'nestjs-eventing';

/** A library that only some users need, loaded when it is. Throws EVT_CLIENT_MISSING where it is not installed. */
export async function loadLibrary<T>(name: string, use: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    const code: unknown = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') throw cause;
    throw new EventingError(
      'EVT_CLIENT_MISSING',
      `${name} is not installed, and ${use} needs it: npm install ${name}.`,
      {
        cause,
      },
    );
  }
}
