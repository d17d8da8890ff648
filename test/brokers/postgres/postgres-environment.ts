import { environmentUrl, foreignBroker, notAnswering } from '../foreign-broker.js';
import type { PostgresBroker } from './postgres-broker.js';
import { postgresVersion } from './postgres-probe.js';

const VARIABLE = 'POSTGRES_URL';

/** The server named by the environment, if there is one. Throws if it does not answer. */
export async function environmentPostgres(): Promise<PostgresBroker | undefined> {
  const url = environmentUrl(VARIABLE);
  if (!url) return undefined;
  const access = {
    host: url.hostname,
    port: Number(url.port || 5432),
    user: decodeURIComponent(url.username) || 'postgres',
    password: decodeURIComponent(url.password),
    database: decodeURIComponent(url.pathname.slice(1)) || 'postgres',
    connectionString: url.href,
  };
  const version = await postgresVersion(access).catch((error: unknown) => {
    throw notAnswering(VARIABLE, error);
  });
  return { ...foreignBroker(VARIABLE, 'startOwnPostgres'), access: { ...access, version } };
}
