import type { Abilities } from 'nestjs-eventing';
import type { ConformanceHook } from './conformance.environment.js';
import type { Trial } from './trial.js';

/** One sentence of the contract, and how it is checked. */
export interface ConformanceCase {
  /** Stable: names the case in `only`, in `exceptions` and in the report. */
  readonly id: string;
  /** The behaviour. */
  readonly title: string;
  readonly needs?: readonly Need[];
  run(trial: Trial): Promise<void>;
}

/** Why a case cannot be asked of a provider in its environment; `undefined`: it can. */
export type Need = (trial: Trial) => string | undefined;

const LEVELS: readonly Abilities['order'][] = ['none', 'process', 'cluster'];

/** What cases need, with the reason that is printed where it is missing. */
export const needs = {
  order:
    (level: Abilities['order']): Need =>
    ({ abilities }) =>
      LEVELS.indexOf(abilities.order) >= LEVELS.indexOf(level)
        ? undefined
        : `the provider declares order: '${abilities.order}'`,
  durable: (({ abilities }) =>
    abilities.durable === false ? 'the provider declares durable: false' : undefined) satisfies Need,
  groups: (({ abilities }) => (abilities.groups ? undefined : 'the provider declares groups: false')) satisfies Need,
  perProcess: (({ abilities }) =>
    abilities.perProcess ? undefined : 'the provider declares perProcess: false') satisfies Need,
  replay: (({ abilities }) => (abilities.replay ? undefined : 'the provider declares replay: false')) satisfies Need,
  boundedReplay: (({ abilities }) =>
    abilities.replay && abilities.boundedReplay === true
      ? undefined
      : 'the provider does not declare boundedReplay') satisfies Need,
  defer: (({ abilities }) =>
    abilities.longestDefer > 0
      ? undefined
      : 'the provider declares longestDefer: 0; the kernel holds such events') satisfies Need,
  transactions: (({ abilities }) =>
    abilities.transactions ? undefined : 'the provider declares transactions: false') satisfies Need,
  sequences: (({ abilities }) =>
    abilities.sequencedDeadLetters === true
      ? undefined
      : 'the provider does not declare sequencedDeadLetters') satisfies Need,
  hook:
    (name: ConformanceHook): Need =>
    ({ cluster }) =>
      cluster[name] === undefined ? `the environment offers no ${name}()` : undefined,
  trait:
    (name: 'windowCountsFromGap' | 'movesSources' | 'countsCrashes'): Need =>
    ({ environment }) =>
      environment.traits?.[name] === true ? undefined : `the environment does not state the trait ${name}`,
} as const;
