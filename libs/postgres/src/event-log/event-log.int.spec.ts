import { afterAll, beforeAll, describe } from 'vitest';
import { type PostgresBroker, startOwnPostgres } from '../../../../test/brokers/brokers.js';
import { serverDatabase } from '../sql/server.recipe.js';
import { eventLogCases } from './event-log.fixture.js';

describe('the event log on a PostgreSQL server', () => {
  let server: PostgresBroker | undefined;
  beforeAll(async () => {
    const had = await startOwnPostgres();
    if (had.available) server = had;
  }, 300_000);
  afterAll(() => server?.close());

  eventLogCases(
    () => serverDatabase({ connectionString: server?.access.connectionString ?? '', connectionTimeout: 60_000 })(),
    () => (server === undefined ? 'no PostgreSQL' : undefined),
  );
});
