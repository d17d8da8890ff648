import type { ErrorClass } from '../declare/event-exception-handler.decorator.js';
import { type BackoffOptions, BackoffPolicy } from './backoff.policy.js';
import type { Failure } from './failure.js';

/** What holds for one kind of error instead. */
export interface ExceptionRetry {
  /**
   * A class of errors, its subclasses included; or the name or `code` of an error (`ECONNRESET`), for what has no class of its own.
   * A name or code goes before classes, a class before those that it extends.
   */
  readonly type: ErrorClass | string;
  /**
   * Attempts in all, whatever the earlier ones failed with; 0 or 1: no other.
   * @default those of the listener, or one more than a list of delays has that is given here
   */
  readonly attempts?: number;
  /** @default that of the listener */
  readonly backoff?: BackoffOptions;
}

export interface RetryOptions {
  /** How often the listener is called in all, the first time included. @default 5, or one more than a list of delays has */
  readonly attempts?: number;
  /** How long to wait before another attempt; instead of `delay`, `factor` and `maxDelay`. @default exponential */
  readonly backoff?: BackoffOptions;
  /** Milliseconds before the second attempt. @default 200 */
  readonly delay?: number;
  /** What each further delay is multiplied by. @default 2 */
  readonly factor?: number;
  /** Longest delay in milliseconds, before up to a fifth is added by chance. @default 30000 */
  readonly maxDelay?: number;
  /** What holds for some errors, at most 100. @default none */
  readonly on?: readonly ExceptionRetry[];
  /**
   * True: a failed event goes to the service's retry address and others overtake it. False: it holds its lane.
   * @default false for events with a key, true for events without
   */
  readonly move?: boolean;
  /**
   * What becomes of an event whose attempts have all failed. `dead-letter`: it is kept there, and the listener goes on. `discard`: it is
   * gone, with an error line, and counted. `stop`: the listener handles nothing more, in this process, until it is resumed; the event
   * stays where it is. What `RejectEvent` refuses and what cannot be read is a dead letter in any case.
   * @default 'dead-letter'
   */
  readonly exhausted?: 'dead-letter' | 'discard' | 'stop';
}

/** Milliseconds for which an event may hold its lane in all, from its first failure. */
export const LONGEST_HOLD = 5 * 60_000;

const EXHAUSTED: readonly unknown[] = ['dead-letter', 'discard', 'stop'];
const ON = ['type', 'attempts', 'backoff'];
const MAX_TYPES = 100;

interface Rule {
  readonly attempts: number;
  readonly backoff: BackoffPolicy;
}

/** Retry options, resolved. */
export class RetryPolicy {
  readonly attempts: number;
  /** The most attempts that any error may have. */
  readonly mostAttempts: number;
  readonly move: boolean | undefined;
  readonly exhausted: 'dead-letter' | 'discard' | 'stop';
  readonly #backoff: BackoffPolicy;
  readonly #rules: ReadonlyMap<ErrorClass | string, Rule>;
  readonly #options: RetryOptions;

  constructor(options: RetryOptions = {}) {
    this.#options = options;
    const { delay, factor, maxDelay } = options;
    this.#backoff = new BackoffPolicy(options.backoff ?? { kind: 'exponential', delay, factor, maxDelay });
    this.attempts = options.attempts ?? (this.#backoff.listed ?? 4) + 1;
    this.move = options.move;
    this.exhausted = options.exhausted ?? 'dead-letter';
    const rules = exceptionsOf(options).map(({ type, attempts, backoff }): [ErrorClass | string, Rule] => {
      const own = backoff === undefined ? undefined : new BackoffPolicy(backoff);
      const listed = own?.listed === undefined ? undefined : own.listed + 1;
      return [type, { attempts: attempts ?? listed ?? this.attempts, backoff: own ?? this.#backoff }];
    });
    this.#rules = new Map(rules);
    this.mostAttempts = Math.max(this.attempts, ...rules.map(([, { attempts }]) => attempts));
  }

  /** What cannot be used, a line each; a policy that has any must not be. */
  get problems(): string[] {
    const { backoff, delay, factor, maxDelay, move } = this.#options;
    const problems = this.#backoff.problems.map((problem) =>
      backoff === undefined ? problem.replace(/^backoff\./, 'retry.') : `retry.${problem}`,
    );
    if (!isCount(this.attempts, 1)) problems.unshift(`retry.attempts cannot be ${this.attempts}`);
    if (backoff !== undefined && (delay ?? factor ?? maxDelay) !== undefined)
      problems.push('retry.backoff and retry.delay, factor or maxDelay exclude each other');
    if (typeof (move ?? true) !== 'boolean') problems.push(`retry.move cannot be ${String(move)}`);
    if (!EXHAUSTED.includes(this.exhausted))
      problems.push(`retry.exhausted cannot be ${this.exhausted}: there are ${EXHAUSTED.join(', ')}`);
    problems.push(...this.#exceptionProblems());
    return problems;
  }

  /**
   * Milliseconds to wait after the attempt of this number failed; `undefined` when it was the last. Jitter only adds.
   * @param error what it failed with. @default one that nothing is said of
   */
  delayAfter(attempt: number, random: () => number = Math.random, error?: Error): number | undefined {
    const { attempts, backoff } = this.#ruleOf(error);
    return attempt >= attempts ? undefined : backoff.delayAfter(attempt, random);
  }

  /** The same for a failure, whose listener may have asked for another pause; `undefined` also where it is final. */
  pauseAfter(failure: Failure, attempt: number): number | undefined {
    if (failure.final) return undefined;
    const usual = this.delayAfter(attempt, Math.random, failure.error);
    return usual === undefined ? undefined : (failure.after ?? usual);
  }

  /** Attempts that an error of this kind may have in all. */
  attemptsAt(error: Error): number {
    return this.#ruleOf(error).attempts;
  }

  #ruleOf(error: Error | undefined): Rule {
    const usual: Rule = { attempts: this.attempts, backoff: this.#backoff };
    if (error === undefined || this.#rules.size === 0) return usual;
    const code = 'code' in error && typeof error.code === 'string' ? this.#rules.get(error.code) : undefined;
    const named = code ?? this.#rules.get(error.name);
    if (named !== undefined) return named;
    for (let type: unknown = error.constructor; typeof type === 'function'; type = Object.getPrototypeOf(type)) {
      const rule = this.#rules.get(type as ErrorClass);
      if (rule !== undefined) return rule;
    }
    return usual;
  }

  #exceptionProblems(): string[] {
    const { on = [] } = this.#options as { readonly on?: unknown };
    if (!Array.isArray(on)) return ['retry.on must be a list of { type, attempts, backoff }'];
    if (on.length > MAX_TYPES) return [`retry.on names ${on.length} types: ${MAX_TYPES} at most`];
    const seen = new Set<unknown>();
    return (on as readonly unknown[]).flatMap((exception, index) => {
      const where = `retry.on[${index}]`;
      if (typeof exception !== 'object' || exception === null)
        return [`${where} must be an object { type, attempts, backoff }`];
      const { type, attempts, backoff } = exception as { type?: unknown; attempts?: unknown; backoff?: BackoffOptions };
      const problems = Object.keys(exception)
        .filter((name) => !ON.includes(name))
        .map((name) => `${where}.${name.slice(0, 100)} is no option: there are ${ON.join(', ')}`);
      if (typeof type !== 'function' && (typeof type !== 'string' || type === ''))
        problems.push(`${where}.type must be a class of errors, or the name or code of one`);
      else if (seen.has(type)) problems.push(`${where}.type is there twice: ${nameOf(type)}`);
      seen.add(type);
      if (attempts !== undefined && !isCount(attempts, 0))
        problems.push(`${where}.attempts cannot be ${JSON.stringify(attempts)}`);
      if (backoff !== undefined)
        problems.push(...new BackoffPolicy(backoff).problems.map((problem) => `${where}.${problem}`));
      return problems;
    });
  }
}

/** Those that can be used; `problems` names the others. */
function exceptionsOf({ on }: RetryOptions): readonly ExceptionRetry[] {
  const given: unknown = on ?? [];
  if (!Array.isArray(given)) return [];
  return (given as readonly unknown[]).filter(
    (exception): exception is ExceptionRetry => typeof exception === 'object' && exception !== null,
  );
}

const isCount = (value: unknown, least: number): boolean => Number.isSafeInteger(value) && Number(value) >= least;

const nameOf = (type: unknown): string => (typeof type === 'function' ? type.name : String(type));
