import { EventingError } from 'nestjs-eventing';

/** What all chaos pipelines are told. */
export interface ChaosOptions {
  /** The same seed, with the same events in the same order of each key, gives the same chaos. */
  readonly seed: number;
  /** How many of all are hit, 0 to 1. */
  readonly rate: number;
  /** Names of the listeners that it is for; for sends, of the events. @default all */
  readonly only?: readonly string[];
}

/** @throws EventingError EVT_INVALID_OPTIONS */
export function checkChaos(pipeline: string, { seed, rate }: ChaosOptions): void {
  const refuse = (what: string): never => {
    throw new EventingError('EVT_INVALID_OPTIONS', `${pipeline}: ${what}.`);
  };
  if (!Number.isSafeInteger(seed)) refuse(`seed ${seed} must be a whole number`);
  if (!(rate >= 0 && rate <= 1)) refuse(`rate ${rate} must be a number from 0 to 1`);
}
