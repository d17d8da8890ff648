import type { ConformanceCase } from '../conformance.case.js';
import { connectionCases } from './connection.cases.js';
import { contentCases } from './content.cases.js';
import { copyCases } from './copies.cases.js';
import { deadLetterCases } from './dead-letters.cases.js';
import { deferCases } from './defer.cases.js';
import { durabilityCases } from './durability.cases.js';
import { flowCases } from './flow.cases.js';
import { lifecycleCases } from './lifecycle.cases.js';
import { orderCases } from './order.cases.js';
import { ownershipCases } from './ownership.cases.js';
import { positionCases } from './position.cases.js';
import { publishCases } from './publish.cases.js';
import { redeliveryCases } from './redelivery.cases.js';
import { redriveCases } from './redrive.cases.js';
import { replayCases } from './replay.cases.js';
import { retryCases } from './retry.cases.js';
import { scanCases } from './scan.cases.js';
import { sequenceStoreCases } from './sequence-store.cases.js';
import { sequenceCases } from './sequences.cases.js';
import { sharingCases } from './sharing.cases.js';
import { exactlyOnceCases } from './exactly-once.cases.js';
import { transactionCases } from './transactions.cases.js';

/** The suite, from what every provider has to what only faults show. */
export const allCases: readonly ConformanceCase[] = [
  ...lifecycleCases,
  ...contentCases,
  ...copyCases,
  ...sharingCases,
  ...durabilityCases,
  ...positionCases,
  ...replayCases,
  ...orderCases,
  ...publishCases,
  ...flowCases,
  ...ownershipCases,
  ...deferCases,
  ...retryCases,
  ...deadLetterCases,
  ...scanCases,
  ...redriveCases,
  ...sequenceStoreCases,
  ...sequenceCases,
  ...redeliveryCases,
  ...connectionCases,
  ...transactionCases,
  ...exactlyOnceCases,
];
