import { describe, inject, it } from 'vitest';
import { conformance } from 'nestjs-eventing/testing';
import type { PostgresAccess } from '../brokers/brokers.js';
import { postgresEnvironment } from './postgres.environment.js';

const access = inject('postgres');

describe.skipIf(access === undefined)('on a real PostgreSQL', () => {
  conformance(
    { describe, it: it.concurrent },
    postgresEnvironment(() => access as PostgresAccess),
  );
});
