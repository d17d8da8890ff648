import { startOwnPostgres } from '../brokers/brokers.js';
import { withBrokenBroker } from './broken.broker.js';
import { postgresEnvironment } from './postgres.environment.js';

withBrokenBroker(startOwnPostgres, (broker, line) => postgresEnvironment(() => broker().access, line));
