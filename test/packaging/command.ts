import { execFile } from 'node:child_process';

interface CommandOptions {
  readonly cwd: string;
  /** Beside those of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds. @default two minutes */
  readonly timeout?: number;
}

/**
 * What a program printed.
 * @throws Error with everything that it said, where it fails
 */
export function command(program: string, args: readonly string[], options: CommandOptions): Promise<string> {
  const env = { ...inherited(), NO_COLOR: '1', ...options.env };
  const { cwd, timeout = 600_000 } = options;
  return new Promise((done, failed) => {
    execFile(program, args, { cwd, env, timeout, maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      if (error === null) return done(stdout);
      const text = `${[program, ...args].join(' ')} (in ${cwd}) failed: ${error.code ?? error.signal}\n${stdout}${stderr}`;
      failed(new Error(text, { cause: error }));
    });
  });
}

/** A node program. */
export const node = (args: readonly string[], options: CommandOptions): Promise<string> =>
  command(process.execPath, args, options);

/** Without what `npm test` tells its scripts about this package: an `npm` in another folder would believe it. */
function inherited(): NodeJS.ProcessEnv {
  const foreign =
    /^npm_(?:package|lifecycle|command|config_local_prefix|execpath)|^(?:INIT_CWD|NODE_OPTIONS|VITEST.*|FORCE_COLOR)$/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)));
}
