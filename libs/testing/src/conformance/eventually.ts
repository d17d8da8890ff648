/** Milliseconds between two looks. */
const PAUSE = 5;

// Taken now, so that a test framework's fake timers do not stop the waiting.
const [later, immediately] = [setTimeout, setImmediate];

/**
 * Resolves after so many milliseconds of real time, and a turn of the event loop: in a busy process timers follow timers, and
 * what waits for that turn (sockets, and sends on their way to the provider) would seem not to happen.
 */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => later(() => immediately(resolve), milliseconds));
}

/**
 * Waits until `check` is true, looking again and again. What it throws counts as not yet.
 * @param what the awaited state, as a sentence: `both instances have a share`
 * @param within milliseconds after which it rejects, saying what was awaited and, from `tell`, how far things got
 */
export async function eventually(
  what: string,
  check: () => boolean | Promise<boolean>,
  within: number,
  tell: () => string = () => '',
): Promise<void> {
  const end = Date.now() + within;
  for (;;) {
    let thrown: unknown;
    try {
      if (await check()) return;
    } catch (error) {
      thrown = error;
    }
    if (Date.now() >= end) {
      const far = [tell(), thrown instanceof Error ? thrown.message : ''].filter((text) => text !== '').join('; ');
      throw new Error(`Not within ${within} ms: ${what}${far === '' ? '' : ` (${far})`}`, { cause: thrown });
    }
    await pause(PAUSE);
  }
}

/** As the promise does, or a rejection after so many milliseconds. */
export async function inTime<T>(what: string, promise: Promise<T>, within: number): Promise<T> {
  let timer: ReturnType<typeof later> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = later(() => reject(new Error(`Not within ${within} ms: ${what}`)), within);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
