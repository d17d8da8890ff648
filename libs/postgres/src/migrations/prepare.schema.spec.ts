import { EventingError } from 'nestjs-eventing';
import { describe, expect, it } from 'vitest';
import { RecordingLogger, refusal, VirtualClock } from '../../../eventing/src/kernel.fixture.js';
import type { Database } from '../sql/database.js';
import { prepareSchema } from './prepare.schema.js';

/** Answers each statement with the next of these errors; a connection that is lost after that. */
function failing(...codes: readonly string[]): { readonly database: Database; tries: number } {
  const state = { tries: 0 };
  const query = (): Promise<never> => {
    const code = codes[state.tries++] ?? 'ECONNREFUSED';
    return Promise.reject(Object.assign(new Error('no'), { code }));
  };
  const database: Database = {
    kind: 'server',
    query,
    transaction: query,
    listen: query,
    close: () => Promise.resolve(),
  };
  return Object.assign(state, { database });
}

describe('a schema that cannot be prepared', () => {
  const waiting = (): { who: string; patience: number; clock: VirtualClock; logger: RecordingLogger } => {
    return { who: 'The outbox', patience: 60_000, clock: new VirtualClock(), logger: new RecordingLogger() };
  };

  it.each(['28P01', '25006', '42501', 'ERR_TLS_CERT_ALTNAME_INVALID'])(
    'is refused at once where waiting does not mend it: %s',
    async (code) => {
      const server = failing(code);
      const how = waiting();
      expect(await refusal(prepareSchema(server.database, 'shop', 'check', how))).toBeInstanceOf(EventingError);
      expect([server.tries, how.logger.lines]).toEqual([1, []]);
    },
  );

  it('is waited for where its server is away, and asked for again until then', async () => {
    const server = failing('ECONNREFUSED', '57P03', '28P01');
    const how = waiting();
    const error = await refusal(prepareSchema(server.database, 'shop', 'check', how));
    expect([error.code, server.tries]).toEqual(['EVT_AUTHENTICATION', 3]);
    expect(how.logger.having('The outbox waits for its database')).toHaveLength(1);
  });

  it('is not waited for where nobody says how', async () => {
    const server = failing();
    expect((await refusal(prepareSchema(server.database, 'shop', 'check'))).code).toBe('EVT_CONNECTION');
    expect(server.tries).toBe(1);
  });
});
