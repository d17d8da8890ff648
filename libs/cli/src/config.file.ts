import { access } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { EventingError, type EventingOptions } from 'nestjs-eventing';
import { UsageError } from './usage.error.js';

const NAMES = ['eventing.config.js', 'eventing.config.mjs', 'eventing.config.cjs'];

/** What a service says of itself for the command line. */
export interface ServiceConfig {
  readonly options: EventingOptions;
  /** Classes of events and listeners; empty where the file names none. */
  readonly classes: readonly unknown[];
  /** Gives the module to boot for a replay; `undefined` where the file names none. */
  readonly application: (() => unknown) | undefined;
}

/**
 * Reads the options that the service gives to `EventingModule.forRoot`: the default export, or what it returns where it is a
 * function. `classes` and `application` are further exports.
 *
 * @throws UsageError where there is no such file
 * @throws EventingError EVT_INVALID_OPTIONS where it gives no options; or what it throws
 */
export async function readConfig(folder: string, name: string | undefined): Promise<ServiceConfig> {
  const file = await find(folder, name);
  const loaded = (await import(pathToFileURL(file).href)) as Record<string, unknown>;
  const main = unwrapped(loaded['default']);
  const given: unknown = typeof main === 'function' ? await (main as () => unknown)() : main;
  if (typeof given !== 'object' || given === null)
    throw new EventingError(
      'EVT_INVALID_OPTIONS',
      `${file} gives no options: export those of EventingModule.forRoot() as default, or a function that returns them.`,
    );
  const classes: unknown = loaded['classes'] ?? ownField(main, 'classes') ?? [];
  if (!Array.isArray(classes))
    throw new EventingError('EVT_INVALID_OPTIONS', `${file}: classes must be a list of event and listener classes.`);
  const application: unknown = loaded['application'] ?? ownField(main, 'application');
  if (application !== undefined && typeof application !== 'function')
    throw new EventingError(
      'EVT_INVALID_OPTIONS',
      `${file}: application must be a function that returns a Nest module.`,
    );
  return { options: given, classes, application: application as (() => unknown) | undefined };
}

async function find(folder: string, name: string | undefined): Promise<string> {
  const candidates = name === undefined ? NAMES.map((each) => join(folder, each)) : [isAbsolute(name) ? name : resolve(folder, name)]; // prettier-ignore
  for (const file of candidates)
    if (
      await access(file).then(
        () => true,
        () => false,
      )
    )
      return file;
  throw new UsageError(
    name === undefined
      ? `There is no ${NAMES.join(', ')} in ${folder}: write one that exports the options of EventingModule.forRoot(), or name a file with --config.`
      : `There is no file ${candidates[0]}: --config names the file that exports the options of EventingModule.forRoot().`,
  );
}

/** What a compiler that writes CommonJS puts around a default export. */
function unwrapped(value: unknown): unknown {
  return ownField(value, '__esModule') === true ? ownField(value, 'default') : value;
}

function ownField(value: unknown, name: string): unknown {
  return (typeof value === 'object' && value !== null) || typeof value === 'function'
    ? (value as Record<string, unknown>)[name]
    : undefined;
}
