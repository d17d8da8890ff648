import { connectionMutants } from './connection.mutants.js';
import { deadLetterMutants } from './dead-letter.mutants.js';
import { deliveryMutants } from './delivery.mutants.js';
import type { MutantPlan } from './mutant.plan.js';
import { publishMutants } from './publish.mutants.js';
import { replayMutants } from './replay.mutants.js';
import { sequenceMutants } from './sequence.mutants.js';
import { settlementMutants } from './settlement.mutants.js';
import { subscriptionMutants } from './subscription.mutants.js';
import { transactionMutants } from './transaction.mutants.js';

/** Providers that break one property each. */
export const mutants: readonly MutantPlan[] = [
  ...publishMutants,
  ...subscriptionMutants,
  ...replayMutants,
  ...deliveryMutants,
  ...settlementMutants,
  ...deadLetterMutants,
  ...sequenceMutants,
  ...connectionMutants,
  ...transactionMutants,
];
