import type { Mutation } from './mutant.provider.js';

/** One way to be wrong, and the cases that must notice. */
export interface MutantPlan {
  /** What this provider does. */
  readonly name: string;
  readonly mutate: () => Mutation;
  /** The environment's; longer where a busy machine would hide what is early. @default that of the environment */
  readonly silence?: number;
  /** By the case's id, what it must say: being red is not enough, it must be red for this. */
  readonly caught: Readonly<Record<string, RegExp | WaitInVain>>;
}

/** A case that waits in vain. */
export interface WaitInVain {
  readonly awaited: RegExp;
}

/** What a case says that waited in vain for something. @param what the beginning of what was awaited, as a pattern */
export function never(what: string): WaitInVain {
  return { awaited: new RegExp(`^Not within \\d+ ms: .*${what}`) };
}
